"""Whole answers that are worth it go out as gzip to those who take it.

Only answers to GET: a compressed answer's length tells something of its content to who can have it asked often with words of their own choice
(the attack called BREACH). Other sites cannot, for the session's cookie is ``SameSite=Strict``; what is marked ``no-store`` holds a secret, and
stays as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from litestar.types import Send

from luminai.http.requests import RequestState

LEAST: Final = 1_000
"""Bytes; less fits into one packet anyway."""
MOST: Final = 512 * 1024
"""Bytes; what is larger would hold up the loop for milliseconds."""
LEVEL: Final = 3
_GZIP: Final = 16 + zlib.MAX_WBITS
_TYPES: Final = (
    b"text/",
    b"application/json",
    b"application/javascript",
    b"image/svg+xml",
    b"application/schema+json",
    b"application/vnd.oai.openapi",
)
_STREAM: Final = b"text/event-stream"
_WHOLE: Final = (b"content-encoding", b"content-range", b"set-cookie")
_KEPT: Final = (b"no-store", b"no-transform")
Headers = Sequence[tuple[bytes, bytes]]


class Compressed:
    """Holds an answer's start until its body is there; a body that comes in parts goes out as it is."""

    __slots__ = ("_start",)

    def __init__(self, start: Any) -> None:
        self._start = start

    async def pass_on(self, body: Any, send: Send) -> None:
        """Send the body, behind the start if that was not sent yet."""
        start, self._start = self._start, None
        if start is not None and not body.get("more_body"):
            packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
            packed = packer.compress(body.get("body", b"")) + packer.flush()
            start["headers"] = _headers(start["headers"], len(packed))
            body = {**body, "body": packed}
        if start is not None:
            await send(start)
        await send(body)


def compressed(scope: Any, state: RequestState, start: Any) -> Compressed | None:
    """Return what compresses the answer that begins so, None for one that is not worth it or whose asker takes no gzip."""
    if state.status != 200 or state.method != "GET":
        return None
    length, is_text = 0, False
    for name, value in start.get("headers", ()):
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"content-type":
            is_text = value.startswith(_TYPES) and not value.startswith(_STREAM)
        elif name in _WHOLE or (name == b"cache-control" and any(word in value for word in _KEPT)):
            return None
    if not is_text or not LEAST <= length <= MOST:
        return None
    takes = any(name == b"accept-encoding" and _takes_gzip(value) for name, value in scope["headers"])
    return Compressed(start) if takes else None


def _headers(given: Headers, length: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of the packed answer; its tag is weak, for the bytes are not those that the tag was made of."""
    kept = [(name, value) for name, value in given if name not in (b"content-length", b"etag")]
    tags = [(name, value if value.startswith(b"W/") else b"W/" + value) for name, value in given if name == b"etag"]
    return [*kept, *tags, (b"content-length", b"%d" % length), (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]


def _takes_gzip(value: bytes) -> bool:
    """Read ``Accept-Encoding``: gzip stands there, and not with the weight 0."""
    for one in value.lower().split(b","):
        coding, _, weight = one.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return not weight.replace(b" ", b"").startswith(b"q=0") or any(digit in weight.partition(b".")[2] for digit in b"123456789")
    return False
