"""Calls of a plugin to other services: what ``ctx.http`` offers.

A plugin reaches the hosts of its grants ``outbound:<host>`` and no others. Every failure is a ``HubError`` with one of four codes:

- ``outbound-refused`` (``Upstream``, 502): the address is not granted, not public, or no address that the hub calls; nothing was sent.
- ``outbound-too-large`` (``Upstream``, 502): the answer is larger than the caller allows.
- ``outbound-timeout`` (``DeadlineExceeded``, 504): no whole answer in time; the request may have had its effect.
- ``outbound-failed`` (``Upstream``, 502): no connection, no valid certificate, or no valid answer; the request may have had its effect.

An answer with a status of 400 or more is an answer, not a failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Upstream


class HttpReply(Struct, frozen=True, kw_only=True):
    """A whole answer.

    Attributes:
        headers: By lower-case name; values of a repeated header are joined with ``, ``.
        body: Unpacked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, type: Any = Any) -> Any:  # noqa: A002 - the same word as in msgspec
        """Return the body decoded as ``type``.

        Raises:
            Upstream: it is no JSON, or of another shape (code ``outbound-failed``).
        """
        try:
            return msgspec.json.decode(self.body, type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Upstream("The service answered something else than was expected.", code="outbound-failed") from None


class HttpStream(Protocol):
    """An answer whose body comes in pieces; ``headers`` as of ``HttpReply``. Read it in one of the three ways, once.

    Attributes:
        idle: Longest silence in seconds, as of ``HttpClient.stream``; may be set while it is read. The reader's own time does not count.
    """

    idle: float

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the unpacked body as it comes, cut anywhere. Each piece ends a silence.

        Raises:
            HubError: as of ``HttpClient``, also in the middle.
        """
        ...

    def events(self, *, max_event: int = 1_048_576) -> AsyncIterator[bytes]:
        """Yield the data of each server-sent event (WHATWG HTML, 9.2), its lines joined. Comments and half events end no silence.

        An event without the blank line behind it is left out, as the standard says: it may be half.

        Args:
            max_event: Largest event in bytes; a larger one is ``outbound-too-large``.
        """
        ...

    def lines(self, *, max_line: int = 1_048_576) -> AsyncIterator[bytes]:
        """Yield each line that is not empty, as for JSON lines; a last one without its end is left out. Half lines end no silence."""
        ...

    def still_silent(self) -> None:
        """Let the silence go on as if the last piece had not come: it was a sign of life, and said nothing."""
        ...


class HttpClient(Protocol):
    """HTTP under the plugin's grants. It keeps no cookies and reads neither proxy variables nor ``.netrc``.

    Give ``body`` or ``json``, not both. Of a plugin, 8 requests and 32 streams run at once unless its operator set ``max-calls`` and
    ``max-streams``; the others wait, and their waiting counts towards ``timeout``.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        timeout: float = 10.0,
        max_bytes: int = 1_048_576,
        redirects: int = 0,
    ) -> HttpReply:
        """Return the answer.

        Args:
            method: ``GET``, ``HEAD``, ``POST``, ``PUT``, ``PATCH``, ``DELETE`` or ``OPTIONS``.
            url: ``http`` or ``https``, without user and password.
            headers: At most 64. What belongs to the connection (``Host``, ``Content-Length`` …) is refused.
            json: Sent as JSON.
            timeout: Seconds until the whole answer is there, at most 300.
            max_bytes: Largest body after unpacking, at most 64 MiB.
            redirects: How many redirects are followed, at most 3, each checked like a first address; with 0 a redirect is the answer.
                At another origin only harmless headers are sent again.

        Raises:
            Upstream: codes ``outbound-refused``, ``outbound-too-large``, ``outbound-failed``.
            DeadlineExceeded: code ``outbound-timeout``.
            ValueError: a number is out of its bounds, or both ``body`` and ``json`` are given.
        """
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        timeout: float = 10.0,
        idle: float = 30.0,
        total: float = 600.0,
        max_bytes: int = 16_777_216,
        redirects: int = 0,
    ) -> AbstractAsyncContextManager[HttpStream]:
        """Return an answer to read as it comes: ``async with ctx.http.stream("POST", url) as answer``. Leaving the block ends the call.

        Args:
            timeout: Seconds until the answer begins, at most 300.
            idle: Longest silence between two pieces in seconds, at most 300.
            total: Seconds for all of it, at most 3600.

        Raises:
            HubError: as of ``request``.
        """
        ...
