"""Which models there are, and what a name means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from luminai import AIProvider, ConfigRejected, Model, PluginContext, Unprocessable
from luminai_ai_gateway.config import GatewayConfig, Handling, Route

OWN: Final = "gateway"
"""The provider that the gateway itself is: never part of a route."""
_DOES: Final = {"chat": "chats", "embedding": "makes embeddings", "image": "makes pictures", "speech": "speaks"}


class GatewayModel(Struct, frozen=True, kw_only=True):
    """A name that a call may ask for.

    Attributes:
        name: Name of a route, or ``<provider>/<model>``.
        kinds: ``chat``, ``embedding``, ``image``, ``speech``: what at least one of its models does.
        chain: The models behind it as ``<provider>/<model>``, best first; for a model that is asked for directly, itself.
        available: Whether one of them is there now.
        tools, structured: Whether its first model that is there calls tools, and itself keeps replies to a schema.
        context_tokens, max_output_tokens, embedding_dimensions: Of its first model that is there; 0 when unknown.
    """

    name: str
    title: str
    kinds: frozenset[str]
    aliases: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    available: bool = True
    tools: bool = False
    structured: bool = False
    context_tokens: int = 0
    max_output_tokens: int = 0
    embedding_dimensions: int = 0


class Target(Struct, frozen=True):
    """A model that is there, and who has it."""

    name: str
    provider: AIProvider
    model: Model


class Plan(Struct, frozen=True):
    """What a call will do: the models to ask, best first, and how. ``name`` is the route's, or that of the model itself."""

    name: str
    chain: tuple[str, ...]
    handling: Handling


class Catalogue:
    """Routes of the settings over the models of all running providers.

    Raises:
        ConfigRejected: a name stands for two routes, or a route leads to the gateway itself.
    """

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: GatewayConfig = ctx.config
        self._routes: dict[str, Route] = {}
        for route in self._config.routes:
            if any(full.partition("/")[0] == OWN for full in route.models):
                raise ConfigRejected(f"The route {route.name} leads to the gateway itself.", code="ai-gateway.loop", hint="Name a provider's model.")
            for name in (route.name, *route.aliases):
                if name in self._routes:
                    raise ConfigRejected(f"{name} names two routes.", code="ai-gateway.name-taken", hint="Give each route names of its own.")
                self._routes[name] = route

    @property
    def routes(self) -> Sequence[Route]:
        """The routes, in the order of the settings."""
        return self._config.routes

    def models(self) -> Sequence[GatewayModel]:
        """Return all that may be asked for."""
        direct = [self._direct(target) for target in self._targets().values() if self._exposes(target.name)]
        return [*(self._routed(route) for route in self._config.routes), *direct]

    def model(self, name: str) -> GatewayModel:
        """Return one of them. Raises as ``plan``."""
        route = self._routes.get(name)
        return self._routed(route) if route is not None else self._direct(self._known(name))

    def plan(self, name: str, kind: str) -> Plan:
        """Return what a call does that asks for ``name``.

        Raises:
            Unprocessable: there is no such model or provider, or it does something else.
        """
        if name in self._routes:
            return self.route(name, kind)
        target = self._known(name)
        if kind not in target.model.kinds:
            raise _wrong_kind(name, kind, target.model.kinds)
        return Plan(name, (name,), self._config.direct)

    def route(self, name: str, kind: str) -> Plan:
        """Return what a call does that asks for a route. Raises as ``plan``."""
        route = self._routes.get(name)
        if route is None:
            raise self._unknown(name)
        found = [target for full in route.models if (target := self.find(full)) is not None]
        if found and not any(kind in target.model.kinds for target in found):
            raise _wrong_kind(name, kind, frozenset[str]().union(*(target.model.kinds for target in found)))
        return Plan(route.name, route.models, route)

    def find(self, full: str) -> Target | None:
        """Return the model ``<provider>/<model>`` if it is there now."""
        name, _, wanted = full.partition("/")
        provider = self._ctx.providers.ai_providers.get(name)
        if provider is None or name == OWN:
            return None
        return next((Target(full, provider, model) for model in provider.models() if model.id == wanted), None)

    def _known(self, name: str) -> Target:
        target = self.find(name) if self._exposes(name) else None
        if target is not None:
            return target
        provider, slash, _ = name.partition("/")
        if slash and (provider == OWN or provider not in self._ctx.providers.ai_providers):
            shown = ", ".join(one for one in self._ctx.providers.ai_providers if one != OWN) or "none"
            raise Unprocessable(f"There is no provider {provider[:60]!r}.", code="ai-gateway.unknown-provider", hint=f"Running: {shown[:300]}.")
        raise self._unknown(name)

    def _unknown(self, name: str) -> Unprocessable:
        known = [*self._routes, *(one for one in self._targets() if self._exposes(one))]
        near = difflib.get_close_matches(name[:240], known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`luminai models list` shows what there is."
        return Unprocessable(f"There is no model {name[:100]!r}.", code="ai-gateway.unknown-model", hint=hint)

    def _exposes(self, full: str) -> bool:
        return any(fnmatchcase(full, pattern) for pattern in self._config.expose)

    def _targets(self) -> Mapping[str, Target]:
        providers = self._ctx.providers.ai_providers.items()
        found = [Target(f"{name}/{model.id}", provider, model) for name, provider in providers if name != OWN for model in provider.models()]
        return {target.name: target for target in found}

    def _direct(self, target: Target) -> GatewayModel:
        return _described(target.name, target.model.title or target.name, (target.name,), (), [target.model])

    def _routed(self, route: Route) -> GatewayModel:
        found = [target.model for full in route.models if (target := self.find(full)) is not None]
        return _described(route.name, route.title or route.name, route.models, route.aliases, found)


def _described(name: str, title: str, chain: tuple[str, ...], aliases: tuple[str, ...], models: Sequence[Model]) -> GatewayModel:
    first = models[0] if models else Model(id="", kinds=frozenset())
    return GatewayModel(
        name=name,
        title=title,
        kinds=frozenset[str]().union(*(model.kinds for model in models)),
        aliases=aliases,
        chain=chain,
        available=bool(models),
        tools=first.tools,
        structured=first.structured,
        context_tokens=first.context_tokens,
        max_output_tokens=first.max_output_tokens,
        embedding_dimensions=first.embedding_dimensions,
    )


def _wrong_kind(name: str, kind: str, kinds: frozenset[str]) -> Unprocessable:
    does = " and ".join(_DOES.get(one, one) for one in sorted(kinds))
    hint = "`luminai models list` shows what each model does."
    return Unprocessable(f"{name[:100]} {does or 'does nothing'}; it is no model for {kind}.", code="ai-gateway.wrong-kind", hint=hint)
