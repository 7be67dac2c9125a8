"""A level before a store that processes share: what was just read there is read here for a moment, without the way to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from luminai.contracts.cache import CacheStore, Kept
from luminai.data.cache_memory import OVERHEAD


class _Copy(Struct, frozen=True):
    value: bytes
    cost: float
    until: float
    ends_at: float


class NearCache:
    """Implements ``CacheStore``. What this process drops it has lost at once; what another one drops stays for ``seconds`` at most.

    Args:
        far: Where entries are.
        monotonic: Seconds that never go back.
        seconds: How long a copy is believed.
        max_bytes: Of all copies; the one that was used longest ago goes first.
    """

    def __init__(self, far: CacheStore, monotonic: Callable[[], float], *, seconds: float, max_bytes: int) -> None:
        self._far = far
        self._monotonic = monotonic
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._size = 0
        self._drops = 0

    async def get(self, key: str, /) -> Kept | None:
        """Return an entry."""
        copy = self._copies.get(key)
        if copy is not None and self._monotonic() < copy.until:
            self._copies.move_to_end(key)
            return Kept(copy.value, copy.ends_at - self._monotonic(), copy.cost)
        self._forget(key)
        drops = self._drops
        kept = await self._far.get(key)
        if kept is not None and drops == self._drops:  # what was dropped while it was on its way may be old
            self._keep(key, kept)
        return kept

    async def marks(self, tags: Sequence[str], /) -> tuple[str, ...]:
        """Return the marks of tags."""
        return await self._far.marks(tags)

    async def put(
        self, key: str, value: bytes, /, *, seconds: float, tags: Sequence[str], marks: Sequence[str], slides: bool, cost: float, token: str = ""
    ) -> bool:
        """Keep an entry."""
        self._forget_one(key)
        is_kept = await self._far.put(key, value, seconds=seconds, tags=tags, marks=marks, slides=slides, cost=cost, token=token)
        self._forget_one(key)
        return is_kept

    async def drop(self, key: str, /) -> None:
        """Forget an entry."""
        self._forget_one(key)
        await self._far.drop(key)
        self._forget_one(key)  # it may have been read again before it was gone there

    async def drop_tags(self, tags: Sequence[str], /) -> None:
        """Forget every entry that has one of the tags; of copies, all: their tags are not known here."""
        self._forget_all()
        await self._far.drop_tags(tags)
        self._forget_all()

    async def lock(self, key: str, seconds: float, /) -> str:
        """Return a token."""
        return await self._far.lock(key, seconds)

    async def unlock(self, key: str, token: str, /) -> None:
        """Give a lock back."""
        await self._far.unlock(key, token)

    async def close(self) -> None:
        """Let go of everything."""
        self._forget_all()
        await self._far.close()

    def _keep(self, key: str, kept: Kept) -> None:
        now = self._monotonic()
        self._forget(key)
        self._copies[key] = _Copy(kept.value, kept.cost, now + min(self._seconds, kept.left), now + kept.left)
        self._size += _size(key, kept.value)
        while self._size > self._max_bytes:
            self._forget(next(iter(self._copies)))

    def _forget(self, key: str) -> None:
        copy = self._copies.pop(key, None)
        if copy is not None:
            self._size -= _size(key, copy.value)

    def _forget_one(self, key: str) -> None:
        self._drops += 1
        self._forget(key)

    def _forget_all(self) -> None:
        self._drops += 1
        self._copies.clear()
        self._size = 0


def _size(key: str, value: bytes) -> int:
    return len(value) + len(key) + OVERHEAD
