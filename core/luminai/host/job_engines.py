"""Engines of one generation, the embedded one among them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from luminai.contracts.engines import JobEngine, JobWork
from luminai.contracts.errors import Conflict

EMBEDDED: Final = "embedded"


class EmbeddedEngine:
    """Implements ``JobEngine`` without a queue of its own: each process that hears of due jobs takes them from the ledger itself."""

    name = EMBEDDED

    async def dispatch(self, work: JobWork, /) -> int:
        """Take what is due."""
        return await work.take()

    async def serve(self, work: JobWork, /) -> None:  # noqa: ARG002 - the protocol's shape
        """Wait: nothing is told."""
        await asyncio.Event().wait()


_EMBEDDED: Final = EmbeddedEngine()


class EngineTable:
    """Engines by name."""

    def __init__(self) -> None:
        self._engines: dict[str, tuple[str, JobEngine]] = {EMBEDDED: ("core", _EMBEDDED)}

    def add(self, owner: str, engines: Sequence[JobEngine]) -> None:
        """Enter a plugin's engines.

        Raises:
            Conflict: a name is taken (code ``collision``).
        """
        for engine in engines:
            if engine.name in self._engines:
                detail = f"the job engine {engine.name!r} is already offered by {self._engines[engine.name][0]}"
                raise Conflict(detail, code="collision", hint="Choose another name.", plugin=owner)
            self._engines[engine.name] = (owner, engine)

    def remove(self, owner: str) -> None:
        """Take out a plugin's engines."""
        self._engines = {name: one for name, one in self._engines.items() if one[0] != owner}

    @property
    def embedded(self) -> JobEngine:
        """The one that is always there."""
        return _EMBEDDED

    def find(self, name: str) -> JobEngine | None:
        """Return an engine, None if no running plugin offers it."""
        found = self._engines.get(name)
        return found[1] if found is not None else None
