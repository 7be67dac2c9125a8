"""The cache of plugins: keys that nobody can confuse, one maker for many who ask, and a store that may be away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from luminai.contracts.cache import CacheClass, CacheStore, Kept
from luminai.contracts.context import Clock
from luminai.contracts.errors import DeadlineExceeded
from luminai.data.keyed import current as keyed
from luminai.data.owners import Acting, acting
from luminai.telemetry.figures import Counted

_log = logging.getLogger("luminai.cache")
T = TypeVar("T")
MAX_SECONDS: Final = 7 * 86_400.0
MAX_VALUE: Final = 1024 * 1024
MAX_KEY: Final = 200
MAX_TAGS: Final = 8
MAX_TAG: Final = 100
AWAY_SECONDS: Final = 1.0
"""How long a store that failed is left alone."""
_LOOK_AGAIN: Final = 0.025
_EAGER: Final = 1.0
"""How early a value in use is made anew, in multiples of the time that it takes to make (XFetch, Vattani et al. 2015, its beta)."""
_EARLY: Final = "\0early"
_SHARED: Final = Acting("")


CLASSES: Final[Mapping[str, CacheClass]] = {
    "session": CacheClass(seconds=3600),
    "session-week": CacheClass(seconds=7 * 86_400, slides=True),
    "preferences": CacheClass(seconds=86_400),
    "resonance": CacheClass(seconds=3600),
    "knowledge": CacheClass(seconds=43_200),
    "narrative": CacheClass(seconds=3600),
    "energy": CacheClass(seconds=600),
    "presets": CacheClass(seconds=600),
    "ai-response": CacheClass(seconds=3600),
    "query": CacheClass(seconds=60),
    "list": CacheClass(seconds=300),
    "static": CacheClass(seconds=3600),
}
"""The classes that there are without the operator's doing, with the products' times."""


class HubCache:
    """One in a process, over one store.

    Args:
        classes: The operator's, over ``CLASSES``.
        looks: Counts hits, misses, what was made anew early, and failures of the store.
    """

    def __init__(self, store: CacheStore, clock: Clock, classes: Mapping[str, CacheClass], looks: Counted) -> None:
        self.store = store
        self.classes = {**CLASSES, **classes}
        self.looks = looks
        self._clock = clock
        self._making: dict[str, asyncio.Task[Any]] = {}
        self._away_until = 0.0

    async def ask(self, plugin: str, what: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """Return what the store answers, ``otherwise`` while it is away."""
        if self._clock.monotonic() < self._away_until:
            return otherwise
        try:
            answer = await what()
        except Exception as error:  # noqa: BLE001 - whatever a store has, the work goes on without it
            self.looks.add(plugin, "away")
            if not self._away_until:
                _log.warning("cache.away", extra={"reason": str(error)[:200]})
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            return otherwise
        if self._away_until:
            _log.warning("cache.back")
            self._away_until = 0.0
        return answer

    async def forget(self, subject: str) -> None:
        """Forget everything that was kept in the name of a person.

        Raises:
            Exception: the store is away; it must be tried again.
        """
        await self.store.drop_tags([f"subject:{subject}"])

    def make(self, plugin: str, key: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Return the task that makes an entry: the one that runs, or a new one."""
        task = self._making.get(key)
        if task is None:
            token = keyed.set(None)  # what it writes is not the request's effect
            task = self._making[key] = asyncio.get_running_loop().create_task(work(), name=f"{plugin}:cache")
            keyed.reset(token)
            task.add_done_callback(partial(self._made, key))
        return task

    def let_go(self, key: str) -> None:
        """Have nobody else wait for what is being made under a key, or under keys that begin so: it is out of date."""
        for one in [one for one in self._making if one.startswith(key)]:
            del self._making[one]

    def _made(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._making.get(key) is task:
            del self._making[key]
        if not task.cancelled():
            task.exception()  # nobody may have waited for it

    async def close(self) -> None:
        """End what is being made, and let go of the store."""
        for task in list(self._making.values()):
            task.cancel()
        with contextlib.suppress(Exception):
            await self.store.close()


class PluginCache:
    """Implements ``Cache`` for one plugin; ``whose`` None: of whoever acts."""

    def __init__(self, hub: HubCache, plugin: str, version: str, whose: Acting | None = None) -> None:
        self._hub = hub
        self._plugin = plugin
        self._version = version
        self._whose = whose

    async def get(self, key: str, shape: Any, /) -> Any | None:
        """Return the value."""
        _, value = await self._look(self._key(key), shape)
        return value

    async def put(self, key: str, value: Any, /, *, ttl: float | str, tags: Sequence[str] = ()) -> None:
        """Keep a value."""
        name, kind, all_tags = self._key(key), self._class(ttl), self._tags(tags)
        raw = msgspec.msgpack.encode(value)

        async def keep() -> bool:
            await self._hub.store.drop(name)  # what is being made is older than this
            return await self._keep(name, raw, kind, all_tags, await self._hub.store.marks(all_tags), cost=0.0)

        await self._hub.ask(self._plugin, keep, otherwise=False)

    async def fetch(
        self,
        key: str,
        make: Callable[[], Awaitable[T]],
        shape: Any,
        /,
        *,
        ttl: float | str,
        tags: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> T:
        """Return the value, made if need be."""
        name, kind, all_tags = self._key(key), self._class(ttl), self._tags(tags)

        def begin(*, again: bool) -> asyncio.Task[Any]:
            place = f"{name}{_EARLY}" if again else name
            return self._hub.make(self._plugin, place, lambda: self._make(name, make, shape, kind, all_tags, timeout, again=again))

        kept, value = await self._look(name, shape)
        if kept is None:
            made: T = await asyncio.shield(begin(again=False))
            return made
        if kept.cost and not kind.slides and -kept.cost * _EAGER * math.log(1.0 - random.random()) >= kept.left:
            begin(again=True)
        found: T = value
        return found

    async def drop(self, key: str, /) -> None:
        """Forget one key."""
        name = self._key(key)
        self._hub.let_go(name)
        await self._hub.ask(self._plugin, lambda: self._hub.store.drop(name), otherwise=None)

    async def drop_tag(self, tag: str, /) -> None:
        """Forget everything with the tag."""
        (name,) = self._own_tags((tag,))
        self._hub.let_go(f"{self._plugin}:")
        await self._hub.ask(self._plugin, lambda: self._hub.store.drop_tags([name]), otherwise=None)

    def as_subject(self, subject: str, /, *, organisation: str = "") -> PluginCache:
        """Return the same cache for ``subject``."""
        if not subject:
            raise ValueError("whose it is must be said; what belongs to nobody is in `shared`")
        return PluginCache(self._hub, self._plugin, self._version, Acting(subject, organisation))

    @property
    def shared(self) -> PluginCache:
        """The same cache for what belongs to nobody."""
        return PluginCache(self._hub, self._plugin, self._version, _SHARED)

    async def _look(self, name: str, shape: Any) -> tuple[Kept | None, Any]:
        kept = await self._hub.ask(self._plugin, lambda: self._hub.store.get(name), otherwise=None)
        if kept is not None:
            try:
                value = msgspec.msgpack.decode(kept.value, type=shape)
            except msgspec.MsgspecError:
                kept = None
            else:
                self._hub.looks.add(self._plugin, "hit")
                return kept, value
        self._hub.looks.add(self._plugin, "miss")
        return None, None

    async def _make(
        self,
        name: str,
        make: Callable[[], Awaitable[Any]],
        shape: Any,
        kind: CacheClass,
        tags: tuple[str, ...],
        timeout: float,
        *,
        again: bool,
    ) -> Any:
        """Make an entry, or wait until another process has made it. ``again``: there is an old one, so nobody waits."""
        hub, store, end = self._hub, self._hub.store, time.monotonic() + timeout
        while True:
            token = await hub.ask(self._plugin, lambda: store.lock(name, timeout + 1), otherwise="-")
            if token or again or time.monotonic() >= end:
                break
            await asyncio.sleep(_LOOK_AGAIN)
            kept, value = await self._look(name, shape)
            if kept is not None:
                return value
        if again and token in ("", "-"):
            return None
        if again:
            hub.looks.add(self._plugin, "early")
        marks = await hub.ask(self._plugin, lambda: store.marks(tags), otherwise=None)
        began = time.perf_counter()
        try:
            try:
                async with asyncio.timeout(timeout):
                    value = await make()
            except TimeoutError as error:
                raise DeadlineExceeded(f"What is to be cached was not made within {timeout:g} s.", code="cache-deadline") from error
            raw, took = msgspec.msgpack.encode(value), time.perf_counter() - began
            if marks is not None:
                of = "" if token == "-" else token  # noqa: S105 - no password
                await hub.ask(self._plugin, lambda: self._keep(name, raw, kind, tags, marks, cost=took, token=of), otherwise=False)
            return value
        finally:
            if token not in ("", "-"):
                await hub.ask(self._plugin, lambda: store.unlock(name, token), otherwise=None)

    async def _keep(
        self, name: str, raw: bytes, kind: CacheClass, tags: tuple[str, ...], marks: Sequence[str], *, cost: float, token: str = ""
    ) -> bool:
        if len(raw) > MAX_VALUE:
            self._hub.looks.add(self._plugin, "too-large")
            return False
        return await self._hub.store.put(name, raw, seconds=kind.seconds, tags=tags, marks=marks, slides=kind.slides, cost=cost, token=token)

    def _owner(self) -> Acting:
        return self._whose if self._whose is not None else acting.get()

    def _key(self, key: str) -> str:
        """Return the store's key: plugin and version, organisation and subject with their lengths before them, so that no two can be confused."""
        if not 1 <= len(key) <= MAX_KEY:
            raise ValueError(f"a key of {len(key)} characters, expected 1 to {MAX_KEY}")
        whose = self._owner()
        return f"{self._plugin}:{self._version}:{len(whose.organisation)}:{whose.organisation}:{len(whose.subject)}:{whose.subject}:{key}"

    def _own_tags(self, tags: Sequence[str]) -> tuple[str, ...]:
        if len(tags) > MAX_TAGS or not all(1 <= len(tag) <= MAX_TAG for tag in tags):
            raise ValueError(f"at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters")
        return tuple(f"plugin:{self._plugin}:{tag}" for tag in tags)

    def _tags(self, tags: Sequence[str]) -> tuple[str, ...]:
        subject = self._owner().subject
        return (*self._own_tags(tags), *((f"subject:{subject}",) if subject else ()))

    def _class(self, ttl: float | str) -> CacheClass:
        if isinstance(ttl, str):
            known = self._hub.classes.get(ttl)
            if known is None:
                raise LookupError(f"no cache class {ttl!r}; there are {', '.join(self._hub.classes)}")
            return known
        if not 0 < ttl <= MAX_SECONDS:
            raise ValueError(f"a time of {ttl:g} s, expected at most {MAX_SECONDS:g}")
        return CacheClass(seconds=float(ttl))
