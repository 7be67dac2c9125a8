"""What the fields of requests may be, in every dialect."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

MAX_PROMPT: Final = 1_000_000
"""Characters of one text; the gateway bounds all texts of a call together."""
MAX_BODY: Final = 4 * 1024 * 1024

Text = Annotated[str, Meta(max_length=MAX_PROMPT)]
ModelName = Annotated[str, Meta(min_length=1, max_length=300)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Word = Annotated[str, Meta(max_length=64)]
CallId = Annotated[str, Meta(min_length=1, max_length=200)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Warmth = Annotated[float, Meta(ge=0, le=2)]
Stop = Annotated[str, Meta(min_length=1, max_length=200)]
Stops = Annotated[tuple[Stop, ...], Meta(max_length=16)]
JSONObject = Annotated[dict[str, Any], Meta(max_length=256)]
