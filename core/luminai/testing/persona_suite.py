# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``Persona`` must be. A plugin's tests subclass ``PersonaContract`` as ``Test…`` and give it the plugin's personas."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pytest

from luminai.contracts.persona import Persona

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


class PersonaContract:
    """The conformance suite."""

    def personas(self) -> Sequence[Persona]:
        """Return all personas of the plugin."""
        raise NotImplementedError

    def test_personas__asked_twice__are_the_same(self) -> None:
        assert list(self.personas()) == list(self.personas())
        assert self.personas()

    def test_personas__encoded_and_decoded__are_the_same_and_within_their_bounds(self) -> None:
        for one in self.personas():
            assert msgspec.json.decode(msgspec.json.encode(one), type=Persona) == one

    def test_personas__cannot_be_changed(self) -> None:
        for one in self.personas():
            with pytest.raises(AttributeError):
                one.title = "Another"  # type: ignore[misc]

    def test_personas__ids_and_aliases__are_unique_in_any_case(self) -> None:
        names = [name.casefold() for one in self.personas() for name in (one.id, *one.aliases)]
        assert sorted(names) == sorted(set(names))

    def test_personas__texts__are_there(self) -> None:
        for one in self.personas():
            assert one.version >= 1, one.id
            for text in (one.title, one.role, one.instructions):
                assert text.strip() == text.strip("\n ") != "", one.id
            assert "\n" not in one.role, f"{one.id}: role is one line"

    def test_personas__weights__share_at_most_the_whole(self) -> None:
        assert sum(one.weight for one in self.personas()) <= 1 + 1e-6

    def test_personas__colours__are_written_rrggbb(self) -> None:
        for one in self.personas():
            assert all(_COLOUR.fullmatch(colour) for colour in one.colors), one.id
