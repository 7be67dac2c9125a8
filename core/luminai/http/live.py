"""Every open event stream and socket of this process under authority: how many one caller has, and that whoever opened one still may.

One sweeper looks after all of them, with no task and no timer a stream. What is revoked, suspended or taken away in this process is looked at at once
(``forget``), in another process within 5 s, as for requests: every stream's credential is verified anew every ``RECHECK_SECONDS``, and as soon as it
expires. A credential that opened several streams is verified once for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from msgspec.structs import replace

from luminai.config.settings import ConnectionSettings
from luminai.contracts.context import Clock
from luminai.contracts.errors import Forbidden, HubError, NotSignedIn, RateLimited
from luminai.contracts.identity import Actor
from luminai.http.client_address import network_of
from luminai.http.guard import allow
from luminai.http.streams import RECONNECT, Ending, OpenStream, ending_of

_log = logging.getLogger("luminai.http")
Again = Callable[[bytes], Awaitable[tuple[Actor, float]]]
"""Verifies the value of an Authorization header anew: the actor, and for how many seconds that may be believed. Or it raises ``NotSignedIn``."""
SWEEP_SECONDS: Final = 1.0
RECHECK_SECONDS: Final = 3.0
"""With a sweep's wait, and another one for a handler that does not let itself be interrupted, 5 s."""
BELIEVED_SECONDS: Final = 5.0
"""How long a stream stays open whose credential cannot be verified, the database being away: as long as requests go on."""
CHECK_SECONDS: Final = 4.0
"""How long one sweep verifies; the rest is for the next."""
CHECKS_AT_ONCE: Final = 4
CUT_SECONDS: Final = 0.2
"""How long a sweep waits for clients whose handler does not let itself be interrupted."""
LEAVE_SECONDS: Final = 5.0
"""How long a handler has to notice that its client has left, before it is interrupted, and between interruptions."""
LEFT: Final = Ending(1006, "", b"")
"""The client has left, and the handler has not noticed."""


class LiveStreams:
    """The streams of this process.

    Args:
        settings: How many one person, and one anonymous address, may have.
        clock: Tells when a right is to be looked at.
    """

    def __init__(self, settings: ConnectionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._seats: Counter[str] = Counter()
        self._open: set[OpenStream] = set()
        self._wake = asyncio.Event()
        self._forgotten = 0
        self.again: Again | None = None

    def open(self) -> tuple[int, int]:
        """Return how many sockets and how many event streams are open."""
        sockets = sum(stream.is_socket for stream in self._open)
        return sockets, len(self._open) - sockets

    def admit(self, stream: OpenStream) -> None:
        """Give a stream whose caller is known a seat.

        Raises:
            RateLimited: the caller has as many open as may be (code ``too-many-streams``).
        """
        actor = stream.state.actor
        seat = f"subject:{actor.subject}" if actor is not None else f"address:{network_of(stream.state.client)}"
        most = self._settings.streams_per_person if actor is not None else self._settings.anonymous_streams
        if 0 < most <= self._seats[seat]:
            hint = "Close one, or share one between tabs."
            raise RateLimited(f"At most {most} sockets and event streams at once.", code="too-many-streams", hint=hint)
        stream.take_seat(self._seats, seat)

    def add(self, stream: OpenStream) -> None:
        """Look after a stream from now on; the next sweep looks whether what opened it was not revoked a moment ago elsewhere."""
        stream.checked = self._clock.monotonic()
        self._open.add(stream)
        if stream.has_seat:
            self._wake.set()

    def leave(self, stream: OpenStream) -> None:
        """Forget a stream that has ended."""
        stream.give_seat_back()
        self._open.discard(stream)

    def send_away(self) -> None:
        """Tell all of them to connect again."""
        for stream in tuple(self._open):
            stream.end(RECONNECT)

    def forget(self, whose: str = "") -> None:
        """Look anew at once, after a revocation: at the streams of a key, a session or a person, or at all."""
        self._forgotten += 1
        for stream in self._open:
            actor = stream.state.actor
            if actor is not None and (not whose or whose in (actor.id, actor.session, actor.subject)):
                stream.due = 0.0
        self._wake.set()

    async def keep(self) -> None:
        """Sweep every second, and whenever something was revoked."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
                _log.exception("streams.sweep.failed")

    async def sweep(self) -> None:
        """End what may not stay."""
        if not self._open:
            return
        await asyncio.gather(*(stream.say_last(CUT_SECONDS) for stream in self._open if stream.ending is not None))
        now = self._clock.monotonic()
        for stream in [one for one in self._open if one.is_gone]:
            stream.left_at = stream.left_at or now
            if now - stream.left_at > LEAVE_SECONDS:
                stream.left_at, stream.ending = now, stream.ending or LEFT
                stream.interrupt()
        await self._recheck(now)

    async def _recheck(self, now: float) -> None:
        waiting: dict[bytes, list[OpenStream]] = {}
        for stream in self._open:
            credential = stream.state.authorization
            if credential is not None and stream.due <= now and stream.ending is None:
                waiting.setdefault(credential, []).append(stream)
        if not waiting:
            return
        credentials = iter(sorted(waiting, key=lambda one: waiting[one][0].checked))
        failed: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await asyncio.gather(*(self._verify_each(credentials, waiting, failed) for _ in range(CHECKS_AT_ONCE)))
        if waiting:
            _log.warning("streams.unverified", extra={"credentials": len(waiting), "reason": failed[0] if failed else "late"})
        for stream in [one for streams in waiting.values() for one in streams]:
            if self._clock.monotonic() - stream.checked > BELIEVED_SECONDS:
                self._end(stream, RECONNECT)

    async def _verify_each(self, credentials: Iterator[bytes], waiting: dict[bytes, list[OpenStream]], failed: list[str]) -> None:
        """Verify what comes; what was verified does not wait any more."""
        assert self.again is not None  # noqa: S101 - nobody signs in before it is there
        for credential in credentials:
            forgotten = self._forgotten
            try:
                actor, seconds = await self.again(credential)
            except NotSignedIn as refused:
                for stream in waiting.pop(credential):
                    self._end(stream, ending_of(refused))
            except Exception as error:  # noqa: BLE001 - whatever keeps this one from being verified, others must be
                failed.append(type(error).__name__)
            else:
                seconds = seconds if forgotten == self._forgotten else 0.0  # what was revoked meanwhile may not show yet
                for stream in waiting.pop(credential):
                    self._meet(stream, actor, seconds)

    def _meet(self, stream: OpenStream, actor: Actor, seconds: float) -> None:
        """Let a stream stay if its actor, as it stands now, might open it."""
        before = stream.state.actor
        try:
            if before is not None and (before.subject, before.organisation) != (actor.subject, actor.organisation):
                raise Forbidden("The session acts for somebody else now.", code="actor-changed", hint="Connect again.")
            if stream.policy is not None:
                allow(replace(stream.policy, step_up=False), actor)  # a password is for the moment of opening
        except HubError as refused:
            self._end(stream, ending_of(refused))
            return
        stream.state.actor = actor
        stream.checked = self._clock.monotonic()
        stream.due = stream.checked + min(RECHECK_SECONDS, seconds)

    def _end(self, stream: OpenStream, ending: Ending) -> None:
        actor = stream.state.actor
        extra = {"plugin": stream.owner, "path": stream.state.path, "actor": actor.id if actor is not None else "", "reason": ending.reason}
        _log.info("stream.ended", extra=extra)
        stream.end(ending)
