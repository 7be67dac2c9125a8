"""What the document of the API says of answers that are streams of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema

EVENTS: Final = "text/event-stream"
_SAID: Final = "Server-sent events: an `event`, its `data` and, where the stream can be gone on with, its `id`."
STREAM: Final[dict[str, Any]] = {EVENTS: {"schema": {"description": _SAID}}}
"""The content of an answer of events alone. Readers differ in whether a schema is of the text or of one event, so none is given a type."""


@dataclass
class Streaming(Operation):
    """Of a route that answers with server-sent events too, where it is asked to: ``@post("/api/…", operation_class=Streaming)``."""

    def __post_init__(self) -> None:
        """Add the kind of content."""
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            answer.content = {**(answer.content or {}), EVENTS: OpenAPIMediaType(schema=Schema(description=_SAID))}
