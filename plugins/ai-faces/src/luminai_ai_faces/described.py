"""What the document of the API says of answers that are no JSON."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType

_TEXT = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))


@dataclass
class Streaming(Operation):
    """Of a route that answers with events too, where it is asked to."""

    def __post_init__(self) -> None:
        """Add the kind of content."""
        _also(self, "text/event-stream")


@dataclass
class Speaking(Operation):
    """Of a route that answers with sound."""

    def __post_init__(self) -> None:
        """Add the kinds of content."""
        _also(self, "audio/*")


def _also(operation: Operation, kind: str) -> None:
    answer = (operation.responses or {}).get("200")
    if isinstance(answer, OpenAPIResponse):
        answer.content = {**(answer.content or {}), kind: _TEXT}
