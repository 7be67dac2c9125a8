"""Which model answers a question."""

from __future__ import annotations

import difflib
from typing import Final

from luminai import AIProvider, Model, PluginContext, Unprocessable
from luminai_chat.config import ChatConfig

OFFLINE: Final = "offline/quote"
"""The model that needs nothing and sends nothing anywhere."""
Route = tuple[AIProvider, Model]


class Routing:
    """Finds models by name, and the one that answers when none is named."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config

    @property
    def has_any(self) -> bool:
        """Whether anything can answer."""
        return bool(self._models())

    def find(self, name: str) -> Route:
        """Return a model by its full name.

        Raises:
            Unprocessable: there is none (code ``chat.unknown-model``); the hint names the nearest.
        """
        known = self._models()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known) or 'none'}."
            raise Unprocessable(f"There is no model {name[:60]!r}.", code="chat.unknown-model", hint=hint)
        return known[name]

    def default(self, *, playground: bool = False) -> Route:
        """Return the configured model, else ``offline/quote``, else the first model of the only provider there is. The playground is never routed by
        the setting, and to its own providers alone.

        Raises:
            Unprocessable: there is none, or several providers and no word which (code ``chat.no-model``).
        """
        if self._config.model and not playground:
            return self.find(self._config.model)
        allowed = self._config.playground_providers
        known = {name: route for name, route in self._models().items() if not playground or route[0].name in allowed}
        if OFFLINE in known:
            return known[OFFLINE]
        providers = list(dict.fromkeys(route[0].name for route in known.values()))
        if len(providers) == 1:
            return next(iter(known.values()))
        if not providers:
            raise Unprocessable("No model can answer.", code="chat.no-model", hint="Enable a plugin that offers one, such as ai-offline.")
        hint = f"Name a model, or set plugins.chat.config.model; there are: {', '.join(providers)}."
        raise Unprocessable("No model is chosen.", code="chat.no-model", hint=hint)

    def check_playground(self, route: Route) -> None:
        """Refuse a provider that people without a key may not use.

        Raises:
            Unprocessable: it is none of those (code ``chat.playground-model``).
        """
        provider, allowed = route[0].name, self._config.playground_providers
        if provider not in allowed:
            raise Unprocessable(f"The playground does not use {provider}.", code="chat.playground-model", hint=f"It uses: {', '.join(allowed)}.")

    def _models(self) -> dict[str, Route]:
        providers = self._ctx.providers.ai_providers.values()
        return {f"{provider.name}/{model.id}": (provider, model) for provider in providers for model in provider.models() if "chat" in model.kinds}
