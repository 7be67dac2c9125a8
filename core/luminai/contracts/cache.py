"""What is dear to make and may be a little old: ``ctx.cache``, and what a store of it must do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")


class CacheClass(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """How long something of a kind is kept."""

    seconds: Annotated[float, Meta(gt=0, le=604_800, description="Seconds until it is made anew.")]
    slides: Annotated[bool, Meta(description="Counted from its last use instead.")] = False


class Cache(Protocol):
    """The plugin's cache, in the name of whoever acts: what one person had made, no other gets. ``shared`` is for what is the same for all.

    Values are encoded by msgspec, at most 1 MiB; what cannot be decoded as the type ``shape`` any more counts as not there. A key has 1 to 200
    characters, an entry at most 8 tags of at most 100. ``ttl`` is in seconds, at most 7 days, or the name of a class of ``[cache.classes]``, such as
    ``"resonance"``, whose time the operator sets. Everything may be gone at any moment: a cache that is away is one that has nothing.

    Calls raise ``ValueError`` for a key, tag or time out of these bounds, and ``LookupError`` for a class that is not there.
    """

    async def get(self, key: str, shape: Any, /) -> Any | None:
        """Return the value, None when it is not there."""
        ...

    async def put(self, key: str, value: Any, /, *, ttl: float | str, tags: Sequence[str] = ()) -> None:
        """Keep a value."""
        ...

    async def fetch(
        self, key: str, make: Callable[[], Awaitable[T]], shape: Any, /, *, ttl: float | str, tags: Sequence[str] = (), timeout: float = 30.0
    ) -> T:
        """Return the value, made by ``make`` if it is not there.

        However many ask at once, one makes it and the others wait, over all processes that share a store. A value that is in use is made anew shortly
        before its time is over, while the old one is still given out. What was dropped while it was made is not kept. ``timeout`` is the deadline of
        ``make`` in seconds.

        Raises:
            DeadlineExceeded: ``make`` did not return in time.
            Exception: what ``make`` raised; nothing is kept then.
        """
        ...

    async def drop(self, key: str, /) -> None:
        """Forget one key."""
        ...

    async def drop_tag(self, tag: str, /) -> None:
        """Forget everything of the plugin that has the tag, whoever it belongs to."""
        ...

    def as_subject(self, subject: str, /, *, organisation: str = "") -> Cache:
        """Return the same cache for ``subject``, whoever acts. Give no id here that a client sent."""
        ...

    @property
    def shared(self) -> Cache:
        """The same cache for what belongs to nobody."""
        ...


class Kept(Struct, frozen=True):
    """An entry of a store: its value, the seconds for which it is still good, and the seconds that it took to make."""

    value: bytes
    left: float
    cost: float


class CacheStore(Protocol):
    """Where entries are. Keys and tags come ready to be used, with the names of their plugin and owner in them."""

    async def get(self, key: str, /) -> Kept | None:
        """Return an entry that is good. One that slides has its whole time again."""
        ...

    async def marks(self, tags: Sequence[str], /) -> tuple[str, ...]:
        """Return the marks of tags; dropping a tag changes its mark."""
        ...

    async def put(
        self, key: str, value: bytes, /, *, seconds: float, tags: Sequence[str], marks: Sequence[str], slides: bool, cost: float, token: str = ""
    ) -> bool:
        """Keep an entry unless a mark has changed, or ``token`` is given and its lock is not there any more; tell whether it is kept."""
        ...

    async def drop(self, key: str, /) -> None:
        """Forget an entry, and take the lock from whoever makes it."""
        ...

    async def drop_tags(self, tags: Sequence[str], /) -> None:
        """Forget every entry that has one of the tags."""
        ...

    async def lock(self, key: str, seconds: float, /) -> str:
        """Return a token for whoever is to make the entry, "" while another has it."""
        ...

    async def unlock(self, key: str, token: str, /) -> None:
        """Give a lock back."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
