"""What a model that goes on behind another's words says of them again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from luminai import Continuation, StreamEvent, TextDelta

REPEATED: Final = TextDelta("")
"""In the place of a piece that says nothing new so far: its model is not silent."""


async def unrepeated(source: AsyncGenerator[StreamEvent, None], prefix: str) -> AsyncGenerator[StreamEvent, None]:
    """Yield a stream's events without what its text repeats of the end of ``prefix``."""
    seam = Continuation(prefix)
    async with aclosing(source) as events:
        async for event in events:
            if not isinstance(event, TextDelta):
                if rest := seam.end():
                    yield TextDelta(rest)
                yield event
            elif event.text:
                text = seam.feed(event.text)
                yield TextDelta(text) if text else REPEATED
    if rest := seam.end():
        yield TextDelta(rest)
