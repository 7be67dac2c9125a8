"""What a plugin of providers does beside their calls: it asks services for their models, tries settings, and tells how they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from luminai.contracts.ai import AIError, AIErrorKind
from luminai.contracts.context import PluginContext
from luminai.contracts.errors import HubError, ProblemItem, Upstream
from luminai.contracts.jobs import Action, Job
from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.http.ai.provider import HttpAIProvider

_HINTS = {
    AIErrorKind.AUTH: "Check the key, and `approve` in the plugin's section.",
    AIErrorKind.INVALID: "Check base-url: it has to be the address under which the service lists its models.",
}


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No input."""


class Refreshed(Struct, frozen=True):
    """How many models each provider offers now."""

    models: Annotated[dict[Annotated[str, Meta(max_length=100)], int], Meta(max_length=64)]


async def list_models_at_start(ctx: PluginContext, providers: Sequence[HttpAIProvider]) -> None:
    """Ask each service once; one that does not answer keeps the models that its settings name, and the log says why."""
    for provider in providers:
        try:
            await provider.refresh()
        except AIError as error:
            ctx.log.warning("models.not-listed", extra={"provider": provider.name, "kind": str(error.kind), "reason": str(error)})


async def model_list_problems(providers: Sequence[HttpAIProvider]) -> list[ProblemItem]:
    """Return what is wrong with settings: which services do not list their models, and why."""
    found = []
    for number, provider in enumerate(providers):
        try:
            await provider.refresh()
        except AIError as error:
            found.append(
                ProblemItem(f"{provider.name}: {error}", pointer=f"instances.{number}", code=str(error.kind), hint=_HINTS.get(error.kind, ""))
            )
    return found


def refresh_models_action(providers: Sequence[HttpAIProvider], scope: str) -> Action:
    """Return the action ``refresh-models``."""

    async def refresh(job: Job, _: Nothing) -> Refreshed:
        known: dict[str, int] = {}
        for number, provider in enumerate(providers):
            await job.progress(number, len(providers), provider.name)
            try:
                known[provider.name] = await provider.refresh()
            except AIError as error:
                raise Upstream(f"{provider.name}: {error}", retry_after=error.retry_after) from error
        return Refreshed(known)

    summary = "Ask the services which models they have now."
    return Action(name="refresh-models", summary=summary, input=Nothing, output=Refreshed, run=refresh, scope=scope, concurrency="skip", timeout=300)


def services_check(providers: Sequence[HttpAIProvider]) -> HealthCheck:
    """Return the health check ``services``: degraded while a key cannot be read, or a service's last call failed by its fault. It calls nobody."""

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

    return HealthCheck(name="services", check=check)
