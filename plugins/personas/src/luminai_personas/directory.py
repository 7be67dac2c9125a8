"""Finds personas of all running plugins."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from luminai import Persona, Unprocessable


class PersonaDirectory:
    """Personas by id or alias, looked up when asked, since other plugins add theirs after this one.

    Args:
        personas: Returns every persona of the hub by id.
        default: Id of the persona that answers when none is named.
        disabled: Ids that are not offered.
    """

    def __init__(self, personas: Callable[[], Mapping[str, Persona]], *, default: str, disabled: frozenset[str] = frozenset()) -> None:
        self._personas = personas
        self._default = default
        self._disabled = disabled

    def all(self) -> list[Persona]:
        """Return every persona that people may choose, in plugin order."""
        return [persona for persona in self._personas().values() if persona.public and persona.id not in self._disabled]

    def resolve(self, name: str) -> Persona:
        """Return the persona with this id or alias, in any case.

        Raises:
            Unprocessable: there is none (code ``personas.unknown``); the hint names the nearest.
        """
        wanted = name.strip().lower()
        every = self.all()
        names = {persona.id: persona for persona in every}
        for persona in every:
            for alias in persona.aliases:
                names.setdefault(alias.lower(), persona)  # an id beats any alias, whoever came first
        if wanted in names:
            return names[wanted]
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(names))}."
        raise Unprocessable(f"There is no persona {name[:60]!r}.", code="personas.unknown", hint=hint)

    @property
    def default(self) -> Persona:
        """The persona that answers when none is named: the configured one, else the first.

        Raises:
            Unprocessable: the hub has no persona at all.
        """
        every = self.all()
        chosen = next((persona for persona in every if persona.id == self._default), every[0] if every else None)
        if chosen is None:
            raise Unprocessable("The hub has no persona.", code="personas.none", hint="Enable a plugin that offers one.")
        return chosen
