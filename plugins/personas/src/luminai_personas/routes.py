"""HTTP: which personas there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import get
from litestar.params import FromPath
from msgspec import Struct

from luminai import NotFound, Page, Persona, Unprocessable, page_cursor, page_limit, policy
from luminai_personas.directory import PersonaDirectory


class PersonaInfo(Struct):
    """A persona as people see it; its instructions stay inside."""

    id: str
    version: int
    title: str
    role: str
    emoji: str
    aliases: tuple[str, ...]
    values: tuple[str, ...]
    frequencies: tuple[str, ...]
    colors: tuple[str, ...]
    is_default: bool


def handlers(directory: PersonaDirectory) -> Sequence[Any]:
    """Return the route handlers over ``directory``."""

    def info(persona: Persona) -> PersonaInfo:
        return PersonaInfo(
            id=persona.id,
            version=persona.version,
            title=persona.title,
            role=persona.role,
            emoji=persona.emoji,
            aliases=persona.aliases,
            values=persona.values,
            frequencies=persona.frequencies,
            colors=persona.colors,
            is_default=persona.id == directory.default.id,
        )

    @get("/api/personas", opt=policy(anonymous=True))
    async def list_personas(limit: page_limit = 20, cursor: page_cursor = None) -> Page[PersonaInfo]:
        """List the personas that people may choose."""
        every = sorted(directory.all(), key=lambda persona: persona.id)
        rest = [persona for persona in every if cursor is None or persona.id > cursor]
        return Page([info(persona) for persona in rest[:limit]], rest[limit - 1].id if len(rest) > limit else None)

    @get("/api/personas/{persona_id:str}", opt=policy(anonymous=True))
    async def show_persona(persona_id: FromPath[str]) -> PersonaInfo:
        """Show one persona by id or alias."""
        try:
            return info(directory.resolve(persona_id))
        except Unprocessable as unknown:
            raise NotFound(unknown.detail, code=unknown.code, hint=unknown.hint) from None

    return [list_personas, show_persona]
