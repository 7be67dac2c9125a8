"""The cache of one process: bounded in bytes, a plugin cannot push out what the others keep."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from luminai.contracts.cache import Kept

MAX_MARKS: Final = 10_000
OVERHEAD: Final = 400
"""Bytes that an entry costs beside key and value."""


class _Entry:
    __slots__ = ("cost", "ends_at", "marks", "seconds", "slides", "tags", "value")

    def __init__(self, value: bytes, seconds: float, tags: tuple[str, ...], marks: tuple[str, ...], slides: bool, cost: float) -> None:
        self.value, self.seconds, self.tags, self.marks, self.slides, self.cost = value, seconds, tags, marks, slides, cost
        self.ends_at = 0.0


class MemoryCache:
    """Implements ``CacheStore``. The oldest of whoever has most goes first when there is no room.

    Args:
        monotonic: Seconds that never go back.
        max_bytes: Of all entries.
        longest: No entry lives longer, in seconds: for processes that do not hear of one another's drops.
    """

    def __init__(self, monotonic: Callable[[], float], *, max_bytes: int, longest: float = float("inf")) -> None:
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._longest = longest
        self._parts: dict[str, OrderedDict[str, _Entry]] = {}
        self._sizes: dict[str, int] = {}
        self._of_tag: dict[str, set[str]] = {}
        self._marks: OrderedDict[str, str] = OrderedDict()
        self._floor = "0"
        self._drops = 0
        self._locks: dict[str, tuple[str, float]] = {}

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(self._sizes.values())

    async def get(self, key: str, /) -> Kept | None:
        """Return an entry."""
        part = self._parts.get(_part(key))
        entry = part.get(key) if part is not None else None
        if part is None or entry is None:
            return None
        now = self._monotonic()
        if entry.ends_at <= now:
            self._forget(key)
            return None
        part.move_to_end(key)
        if entry.slides:
            entry.ends_at = now + entry.seconds
        return Kept(entry.value, entry.ends_at - now, entry.cost)

    async def marks(self, tags: Sequence[str], /) -> tuple[str, ...]:
        """Return the marks of tags."""
        return self._marks_of(tags)

    async def put(
        self, key: str, value: bytes, /, *, seconds: float, tags: Sequence[str], marks: Sequence[str], slides: bool, cost: float, token: str = ""
    ) -> bool:
        """Keep an entry."""
        now = self._monotonic()
        if tuple(marks) != self._marks_of(tags) or (token and self._locks.get(key, ("", 0.0))[0] != token):
            return False
        self._forget(key)
        size = len(value) + len(key) + OVERHEAD
        if size > self._max_bytes // 4:
            return False
        entry = _Entry(value, min(seconds, self._longest), tuple(tags), tuple(marks), slides and self._longest == float("inf"), cost)
        entry.ends_at = now + entry.seconds
        part = _part(key)
        self._parts.setdefault(part, OrderedDict())[key] = entry
        self._sizes[part] = self._sizes.get(part, 0) + size
        for tag in tags:
            self._of_tag.setdefault(tag, set()).add(key)
        while self.size > self._max_bytes:
            self._forget(next(iter(self._parts[max(self._sizes, key=self._sizes.__getitem__)])))
        return True

    async def drop(self, key: str, /) -> None:
        """Forget an entry."""
        self._locks.pop(key, None)
        self._forget(key)

    async def drop_tags(self, tags: Sequence[str], /) -> None:
        """Forget every entry that has one of the tags."""
        for tag in tags:
            self._drops += 1
            self._marks[tag] = str(self._drops)
            self._marks.move_to_end(tag)
            for key in list(self._of_tag.get(tag, ())):
                self._forget(key)
        while len(self._marks) > MAX_MARKS:  # what is being made under a mark that is forgotten is not kept
            self._marks.popitem(last=False)
            self._floor = str(self._drops)

    async def lock(self, key: str, seconds: float, /) -> str:
        """Return a token."""
        now = self._monotonic()
        held = self._locks.get(key)
        if held is not None and held[1] > now:
            return ""
        token = secrets.token_hex(8)
        self._locks[key] = (token, now + seconds)
        return token

    async def unlock(self, key: str, token: str, /) -> None:
        """Give a lock back."""
        if self._locks.get(key, ("", 0.0))[0] == token:
            del self._locks[key]

    async def close(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self._sizes.clear()
        self._of_tag.clear()

    def _marks_of(self, tags: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._marks.get(tag, self._floor) for tag in tags)

    def _forget(self, key: str) -> None:
        name = _part(key)
        part = self._parts.get(name)
        entry = part.pop(key, None) if part is not None else None
        if entry is None:
            return
        self._sizes[name] -= len(entry.value) + len(key) + OVERHEAD
        if not part:
            del self._parts[name], self._sizes[name]
        for tag in entry.tags:
            keys = self._of_tag.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._of_tag[tag]


def _part(key: str) -> str:
    """Return whose entry it is: what stands before the first colon."""
    return key.partition(":")[0]
