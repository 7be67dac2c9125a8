"""Spans as OTLP/HTTP takes them, in its JSON encoding (OpenTelemetry Protocol 1.x: ids in hexadecimal, 64-bit numbers as text)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from luminai import Span

_KINDS: Final = {"internal": 1, "server": 2, "client": 3}
_ERROR: Final = 2


def encode(spans: Sequence[Span], *, service: str, version: str) -> bytes:
    """Return the body of an export request."""
    resource = {"attributes": [_attribute("service.name", service), _attribute("service.version", version)]}
    scope = {"name": "luminai", "version": version}
    return msgspec.json.encode({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [_span(one) for one in spans]}]}]})


def _span(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.began + int(span.seconds * 1e9)),
        "attributes": [_attribute("luminai.plugin", span.plugin), *(_attribute(name, value) for name, value in span.attributes.items())],
    }
    if span.parent:
        found["parentSpanId"] = span.parent
    if span.error:
        found["status"] = {"code": _ERROR, "message": span.error}
        found["attributes"].append(_attribute("error.type", span.error))
    return found


def _attribute(name: str, value: str | float | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    return {"key": name, "value": {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}}
