"""What the document of the API says of answers that are sound."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType


@dataclass
class Speaking(Operation):
    """Of a route that answers with sound."""

    def __post_init__(self) -> None:
        """Add the kinds of content."""
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            answer.content = {**(answer.content or {}), "audio/*": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))}
