"""A JSON body is read strictly into the handler's type: what its schema refuses is refused.

Litestar converts bodies as laxly as query parameters: ``"1"`` would pass for 1 and 0 for false, against the hub's own documents. ``1.0`` is an
integer though, as in JSON Schema.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from luminai.contracts.errors import InvalidInput, ProblemItem
from luminai.http.body_problems import all_problems
from luminai.http.json_shape import IN_THREAD

_PLACE: Final = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")


class StrictRequest(Request[Any, Any, Any]):
    """The request that the hub's apps hand to their handlers."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes.

        Raises:
            InvalidInput: the client went away before it was whole (code ``body-cut``). That is no failure of the plugin's: counted as one, five
                clients that hang up would shut its routes.
        """
        try:
            async for part in super().stream():
                yield part
        except InternalServerException as error:
            raise InvalidInput("The body ended before it was whole.", code="body-cut") from error

    async def json(self) -> Any:
        """Return the body, as the handler's type where it declares one.

        Raises:
            InvalidInput: it does not have that shape (code ``invalid-input``; ``errors`` lists every problem), or is no JSON (``malformed-body``).
        """
        body = await self.body() or b"null"
        read = _reader(self.route_handler)
        try:
            return await asyncio.to_thread(read, body) if len(body) > IN_THREAD else read(body)
        except msgspec.ValidationError as error:
            said = str(error)
            place = _PLACE.search(said)
            inner = place[1].replace(".", "/") if place else ""
            item = ProblemItem(detail=said.partition(" - at ")[0], pointer=f"body/{inner}" if inner else "body")
            field = self.route_handler.parsed_data_field
            found = all_problems(field.annotation, body, item) if field is not None else [item]
            raise InvalidInput("The request does not have the expected shape.", errors=found) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput("The body cannot be read.", code="malformed-body", hint="Send JSON in UTF-8.") from error


def _reader(handler: Any) -> Callable[[bytes], Any]:
    """Return what reads a body for the handler."""
    field = handler.parsed_data_field
    kind = Any if field is None else field.annotation
    hook = handler.default_deserializer

    def read(body: bytes) -> Any:
        try:
            return msgspec.json.decode(body, type=kind, dec_hook=hook)
        except msgspec.ValidationError as error:
            if "got `float`" not in str(error):
                raise
            return msgspec.convert(_whole(msgspec.json.decode(body)), kind, dec_hook=hook)

    return read


def _whole(value: Any) -> Any:
    """Return the value with integers for the floats that are whole; ``json_shape`` has bounded depth and size."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value
