"""The seam of a reply that goes on: models that are asked to continue often say the last words again, or all of it."""

from __future__ import annotations

from itertools import islice
from re import finditer
from typing import Final

ANCHOR: Final = 160
"""Characters of the end of a reply that its continuation is shown as the place to go on from."""
LEAST: Final = 16
"""Repeated characters below which a likeness is taken for chance."""
SHORT: Final = 4
"""The same for a whole reply that is shorter than that."""
NEAR: Final = 2000
GO_ON: Final = (
    "Your reply above broke off. Go on exactly where it stops: do not begin anew, do not repeat what is there, say nothing about the break. "
    "Its last words were: {anchor}"
)


class Continuation:
    """Takes out what a continuation repeats of the end of ``prefix``: the longest end of it that the text begins with, of at least ``LEAST``
    characters (or all of a shorter prefix of at least 4). Text is held back only while it may still be such a repetition.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._held = ""
        self._starts = _starts(prefix)
        self._is_open = bool(self._starts)

    @property
    def instruction(self) -> str:
        """What a model that is to go on is told, behind the reply that broke off."""
        return GO_ON.format(anchor=self._prefix[-ANCHOR:])

    def feed(self, text: str) -> str:
        """Return what is new of the next piece, "" while that is not known."""
        if not self._is_open:
            return text
        self._held += text
        held = self._held
        self._starts = [start for start in self._starts if self._prefix.startswith(held, start) or held.startswith(self._prefix[start:])]
        if any(len(self._prefix) - start > len(held) for start in self._starts):
            return ""  # a longer repetition may still come
        return self.end()

    def end(self) -> str:
        """Return what was held back, without what is a whole repetition."""
        held, self._held, self._is_open = self._held, "", False
        whole = [len(self._prefix) - start for start in self._starts if held.startswith(self._prefix[start:])]
        return held[max(whole, default=0) :]


def _starts(prefix: str) -> list[int]:
    """Return the places where a repetition of the rest of ``prefix`` may begin: its beginning, beginnings of lines, anywhere near its end."""
    if len(prefix) < LEAST:
        return [0] if len(prefix.strip()) >= SHORT else []
    last = len(prefix) - LEAST
    lines = [found.end() for found in islice(finditer(r"\n", prefix), NEAR) if found.end() <= last]
    return sorted({0, *lines, *range(max(0, last - NEAR), last + 1)})
