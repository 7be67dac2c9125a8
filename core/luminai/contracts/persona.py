"""Personas: a voice, instructions and a policy that a session speaks with."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

PersonaId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,47}\Z")]


class PersonaVoice(Struct, frozen=True):
    """Lines that frame a reply when the model does not follow instructions (retrieval, templates)."""

    answer: str = ""
    refusal: str = ""


class Persona(Struct, frozen=True, kw_only=True):
    """A persona. Immutable and versioned: any change of text raises ``version``.

    Attributes:
        id: Short id, unique in the hub; ``aliases`` are other spellings that clients may send.
        version: Rises with every change; stored with each message.
        title: Name shown to people.
        role: One line: what this persona is for.
        instructions: Text given to a model that follows instructions.
        voice: Framing for models that do not.
        frequencies: Ids of frequencies that it leans to, strongest first.
        values: Principles it keeps, shown to people.
        weight: Its share when personas are blended, 0 to 1.
        colors: Orb colours ``#rrggbb``, for screens.
        emoji: One sign for lists.
        public: False hides it from people (it exists for tests or sandboxes).
    """

    id: PersonaId
    version: int
    title: str
    role: str
    instructions: str
    aliases: tuple[str, ...] = ()
    voice: PersonaVoice = PersonaVoice()
    frequencies: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    weight: Annotated[float, Meta(ge=0, le=1)] = 0.0
    colors: tuple[str, ...] = ()
    emoji: str = ""
    public: bool = True
