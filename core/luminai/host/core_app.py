"""The core as one application: finds the area of a path, and builds the area's app when it is first asked for, beside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from litestar import Litestar
from litestar.types import Receive, Send

from luminai.host.core_routes import AREAS, Area
from luminai.http.guard import Gate
from luminai.http.plugin_app import build_app

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_BY_PREFIX: Final = {prefix: area for area in AREAS for prefix in area.prefixes}
_DEPTH: Final = max(prefix.count("/") for prefix in _BY_PREFIX)


class CoreApp:
    """Answers what no plugin claims."""

    def __init__(self, hub: Hub, gate: Gate) -> None:
        self._hub = hub
        self._gate = gate
        self._apps: dict[Area, Litestar] = {}
        self._building = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        area = area_of(scope["path"])
        app = self._apps.get(area) or await self._build(area)
        scope["litestar_app"] = app
        await app.asgi_handler(scope, receive, send)

    async def _build(self, area: Area) -> Litestar:
        async with self._building:
            if area not in self._apps:
                self._apps[area] = await asyncio.to_thread(self._make, area)
        return self._apps[area]

    def _make(self, area: Area) -> Litestar:
        return build_app("core", area.handlers(self._hub), gate=self._gate, max_body_bytes=self._hub.settings.server.max_body_bytes)


def area_of(path: str) -> Area:
    """Return the area with the longest prefix of ``path``."""
    prefix = "/".join(path.split("/", _DEPTH + 1)[: _DEPTH + 1])
    while prefix not in _BY_PREFIX:
        prefix = prefix.rpartition("/")[0] or "/"
    return _BY_PREFIX[prefix]
