"""Bodies of answers, read whole, and which pictures they are."""

from __future__ import annotations

from asyncio import get_running_loop
from typing import Final

from luminai.contracts.errors import HubError
from luminai.contracts.outbound import HttpStream

MAX_ERROR: Final = 65_536
TRAILER_SECONDS: Final = 5.0
"""How long what is no content is waited for: the figures once the model has said that it ended, and the body of an error."""
_PICTURES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


async def body_of(answer: HttpStream) -> bytes:
    """Return a whole body."""
    return b"".join([piece async for piece in answer.chunks()])


async def error_body(answer: HttpStream) -> bytes:
    """Return the beginning of an error's body; that it is slow or breaks off changes nothing about the status."""
    answer.idle = TRAILER_SECONDS
    gathered = b""
    end = get_running_loop().time() + TRAILER_SECONDS
    try:
        async for piece in answer.chunks():
            gathered += piece
            if len(gathered) > MAX_ERROR or get_running_loop().time() > end:
                break
    except HubError:
        pass
    return gathered[:MAX_ERROR]


def picture_type(content: bytes) -> str:
    """Return the media type of a picture by its first bytes, "" when it is none that browsers show."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for sign, kind in _PICTURES if content.startswith(sign)), "")
