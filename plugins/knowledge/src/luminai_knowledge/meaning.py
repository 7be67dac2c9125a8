"""Search by meaning, which another plugin may bring: the point that it extends, and what it is told about passages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

MEANING_POINT: Final = "knowledge.meaning/1"


class PassageText(Struct, frozen=True):
    """What a passage says, with its headings; ``digest`` is of that text, so that passages that say the same have the same."""

    digest: str
    text: str


class NearPassages(Struct, frozen=True):
    """Digests of the passages that are nearest in meaning, nearest first, by what ``model`` makes of them."""

    digests: tuple[str, ...]
    model: str


@runtime_checkable
class MeaningIndex(Protocol):
    """Finds passages by meaning. It keeps its own index of ``Knowledge.passage_texts``."""

    async def nearest(self, query: str, limit: int) -> NearPassages:
        """Return up to ``limit`` passages; only such that have something to do with the query.

        Raises:
            HubError: it cannot tell now; search goes on by words alone, and shows the error's code.
        """
        ...

    async def changed(self) -> None:
        """Learn that passages came or went."""
        ...


def passage_text(title: str, headings: Sequence[str], text: str, code: str) -> PassageText:
    """Return a passage's text with where it stands: "What about plugins?" is told from elsewhere by its page's title."""
    said = "\n".join((" / ".join(dict.fromkeys((title, *headings))), text or code))
    return PassageText(hashlib.sha256(said.encode(errors="replace")).hexdigest()[:32], said)
