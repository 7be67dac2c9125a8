"""What a handler takes, and what a request must not bring: another type of body, a number written oddly, a parameter twice."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from luminai.contracts.errors import InvalidInput, NotFound
from luminai.http.json_shape import MAX_INTEGER
from luminai.http.problems import UnsupportedMediaType

_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})")
JSON: Final = RequestEncodingType.JSON.value.encode()
FORM: Final = RequestEncodingType.URL_ENCODED.value.encode()
MAX_FIELDS: Final = 64


def reads(handler: Any) -> bool:
    """Tell whether the handler takes a body."""
    return isinstance(handler, HTTPRouteHandler) and handler.parsed_data_field is not None


def media_type(handler: Any) -> bytes:
    """Return the type of body that a handler takes."""
    field = handler.parsed_data_field
    definition = field.kwarg_definition if field else None
    declared = getattr(definition, "media_type", None) or RequestEncodingType.JSON
    return str(getattr(declared, "value", declared)).encode()


def check_type(scope: Scope, handler: Any) -> None:
    """Refuse a body of another type than the handler reads: a cross-site page can send ``text/plain`` without being asked.

    Raises:
        UnsupportedMediaType: it is of another type.
    """
    wanted = media_type(handler)
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.partition(b";")[0].strip().lower() == wanted:
                return
            break
    raise UnsupportedMediaType(f"This route reads {wanted.decode()}.", hint=f"Send `Content-Type: {wanted.decode()}`.")


def check_form(body: bytes) -> None:
    """Refuse a form with too many fields, or with text that no database keeps.

    Raises:
        InvalidInput: more than 64 fields (code ``too-many-parameters``), or U+0000 in one (``bad-text``).
    """
    if body.count(b"&") >= MAX_FIELDS:
        raise InvalidInput(f"At most {MAX_FIELDS} fields.", code="too-many-parameters")
    if b"%00" in body or b"\0" in body:
        raise InvalidInput("A field must not hold U+0000.", code="bad-text", hint="No database keeps it.")


def check_parameters(scope: Scope, handler: Any) -> None:
    """Refuse a number in the path that is not written as numbers are, and a single parameter that comes twice: two readers would read two things.

    Moments must be written with date, time and zone (RFC 3339); msgspec would also take seconds since 1970.

    Raises:
        NotFound: the path names nothing.
        InvalidInput: a parameter stands there twice (code ``duplicate-parameter``), or a moment is no moment (``bad-time``).
    """
    for value in scope["path_params"].values():
        if isinstance(value, int) and (abs(value) > MAX_INTEGER or str(value) not in scope["path"].split("/")):
            raise NotFound("There is nothing at this path.", code="unknown-route")
    query = scope["query_string"]
    if not query:
        return
    for name in _moments(handler):
        for given, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if given == name and not _MOMENT.fullmatch(value):
                raise InvalidInput(f"{name} is no moment.", code="bad-time", hint="For example 2026-01-31T00:00:00Z.")
    if b"&" in query:
        names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
        if len(names) != len(set(names)):
            twice = {name for name in names if names.count(name) > 1} - _lists(handler)
            if twice:
                raise InvalidInput(f"The parameter {min(twice)[:80]} stands there twice.", code="duplicate-parameter", hint="Send it once.")


def _moments(handler: Any) -> set[str]:
    """Names of the parameters that are moments."""
    names = set()
    for name, field in handler.parsed_fn_signature.parameters.items():
        if any(kind.annotation is datetime for kind in (field, *field.inner_types)):
            names.add(getattr(field.kwarg_definition, "query", None) or name)
    return names


def _lists(handler: Any) -> set[str]:
    """Names of the parameters that a handler takes several times."""
    names = set()
    for name, field in handler.parsed_fn_signature.parameters.items():
        if field.is_non_string_collection or any(inner.is_non_string_collection for inner in field.inner_types):
            names.add(getattr(field.kwarg_definition, "query", None) or name)
    return names
