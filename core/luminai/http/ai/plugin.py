"""A plugin of providers over HTTP: it offers them, asks the services for their models, tries its settings, and tells how they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Meta, Struct

from luminai.contracts.ai import AIError, AIErrorKind
from luminai.contracts.context import PluginContext
from luminai.contracts.errors import HubError, ProblemItem, Upstream
from luminai.contracts.hookspecs import hookimpl
from luminai.contracts.jobs import Action, Job
from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.http.ai.provider import HttpAIProvider

P = TypeVar("P", bound=HttpAIProvider)
_HINTS = {
    AIErrorKind.AUTH: "Check the key, and `approve` in the plugin's section.",
    AIErrorKind.INVALID: "Check base-url: it has to be the address under which the service lists its models.",
}


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No input."""


class Refreshed(Struct, frozen=True):
    """How many models each provider offers now."""

    models: Annotated[dict[Annotated[str, Meta(max_length=100)], int], Meta(max_length=64)]


class HttpAIPlugin(Generic[P]):
    """The hooks of a plugin whose config has ``instances`` of services; a subclass names the config and the provider of its dialect.

    The plugin's manifest has to define the scope ``<plugin id>:manage``, which the action ``refresh-models`` asks for.
    """

    config: ClassVar[Any]
    provider: type[P]

    def __init__(self) -> None:
        self._providers: tuple[P, ...] = ()

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[P]:
        """Offer one provider an instance, in every generation the same."""
        self._providers = self._providers or tuple(self.provider(ctx.http, one) for one in ctx.config.instances)
        return self._providers

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to ask the services for their models."""
        providers = self.ai_providers(ctx)

        async def refresh(job: Job, _: Nothing) -> Refreshed:
            known: dict[str, int] = {}
            for number, provider in enumerate(providers):
                await job.progress(number, len(providers), provider.name)
                try:
                    known[provider.name] = await provider.refresh()
                except AIError as error:
                    raise Upstream(f"{provider.name}: {error}", retry_after=error.retry_after) from error
            return Refreshed(known)

        return [
            Action(
                name="refresh-models",
                summary="Ask the services which models they have now.",
                input=Nothing,
                output=Refreshed,
                run=refresh,
                scope=f"{ctx.id}:manage",
                concurrency="skip",
                timeout=300,
            )
        ]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell without a call whether services can be called: degraded while a key cannot be read, or the last call failed by a service's fault."""
        providers = self.ai_providers(ctx)

        async def check() -> Health:
            found = []
            for provider in providers:
                trouble = provider.trouble
                try:
                    provider.headers()
                except HubError as error:
                    trouble = error.detail
                if trouble:
                    found.append(f"{provider.name}: {trouble}")
            return Health(HealthState.DEGRADED, "; ".join(found)) if found else Health(HealthState.OK)

        return [HealthCheck(name="services", check=check)]

    @hookimpl
    async def ready(self, ctx: PluginContext) -> None:
        """Ask those services for their models that are to be asked; nobody waits for it."""

        async def list_models() -> None:
            for provider in self.ai_providers(ctx):
                if not provider.instance.list_models:
                    continue
                try:
                    await provider.refresh()
                except AIError as error:  # it keeps the models that its settings name
                    ctx.log.warning("models.not-listed", extra={"provider": provider.name, "kind": str(error.kind), "reason": str(error)})

        ctx.spawn(list_models(), name="models")

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try each service with its key: it has to list its models."""
        found = []
        for number, provider in enumerate(self.ai_providers(ctx)):
            try:
                await provider.refresh()
            except AIError as error:
                found.append(
                    ProblemItem(f"{provider.name}: {error}", pointer=f"instances.{number}", code=str(error.kind), hint=_HINTS.get(error.kind, ""))
                )
        return found
