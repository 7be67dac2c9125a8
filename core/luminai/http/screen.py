"""The first look at a request, before any app: what no route may ever see is refused here, the same way behind every server."""

from __future__ import annotations

import re
from typing import Any, Final

from luminai.contracts.errors import HubError, InvalidInput, NotFound
from luminai.http.hosts import Hosts
from luminai.http.problems import UnsupportedMediaType
from luminai.http.requests import RequestState

MAX_PARAMETERS: Final = 64
_HOST, _AUTHORIZATION, _API_KEY, _GOOGLE_KEY, _ENCODING, _ORIGIN, _LENGTH, _TYPE, _KEY, _CODING = (1 << bit for bit in range(10))
_CREDENTIALS: Final = (_AUTHORIZATION, _API_KEY, _GOOGLE_KEY)
"""Where a credential may stand; the last two are how clients of Anthropic's and of Google's models send theirs."""
_ONCE: Final = {
    b"host": _HOST,
    b"authorization": _AUTHORIZATION,
    b"x-api-key": _API_KEY,
    b"x-goog-api-key": _GOOGLE_KEY,
    b"content-encoding": _ENCODING,
    b"origin": _ORIGIN,
    b"content-length": _LENGTH,
    b"content-type": _TYPE,
    b"idempotency-key": _KEY,
    b"transfer-encoding": _CODING,
}
_ENCODED: Final = re.compile(rb"%(?:2[fF]|5[cC])")
_TICKET_MARK: Final = b"ticket=lut_"
_TICKET: Final = re.compile(rb"(?:(?<=&)|^)ticket=(lut_[\w-]*)(?:&|$)", re.ASCII)


class MisdirectedRequest(HubError):
    """The request names a host that this hub is not."""

    status, default_code, title = 421, "unknown-host", "Misdirected request"


def screen(scope: Any, state: RequestState, hosts: Hosts) -> HubError | None:
    """Note in ``state`` what the headers say, and return why the request goes no further, None when it does.

    The rules: one Host, and one that this hub goes by (a page on another name that resolves to this machine must not reach it); no header that
    decides something twice; no compressed body (nothing to inflate, no bomb); no path that two readers could read two ways.
    """
    seen = 0
    refusal: HubError | None = None
    for name, value in scope["headers"]:
        bit = _ONCE.get(name)
        if bit is None:
            continue
        if seen & bit:
            return InvalidInput(f"The header {name.decode()} stands there twice.", code="duplicate-header", hint="Send it once.")
        seen |= bit
        refusal = _note(state, hosts, bit, value) or refusal
    if not seen & _HOST:
        return InvalidInput("The request names no host.", code="no-host", hint="Send a Host header.")
    if sum(bool(seen & bit) for bit in _CREDENTIALS) > 1:
        detail = "More than one of Authorization, X-Api-Key and X-Goog-Api-Key are there."
        return InvalidInput(detail, code="duplicate-header", hint="Send one credential.")
    return refusal or _odd_target(scope, state)


def _take_ticket(scope: Any, state: RequestState) -> HubError | None:
    """Move a ticket out of the address, so that nothing behind this, and no log, sees it."""
    found = _TICKET.findall(scope["query_string"])
    scope["query_string"] = _TICKET.sub(b"", scope["query_string"]).rstrip(b"&")
    if len(found) > 1 or (found and state.authorization is not None):
        return InvalidInput("There is more than one credential.", code="duplicate-credential", hint="Send a ticket alone.")
    state.ticket = found[0].decode() if found else ""
    return None


def _note(state: RequestState, hosts: Hosts, bit: int, value: bytes) -> HubError | None:
    if bit == _HOST:
        if not hosts.knows(value):
            return MisdirectedRequest("This hub does not go by that name.", hint="The operator names its hosts in server.hosts.")
    elif bit == _AUTHORIZATION:
        state.authorization = value
    elif bit in (_API_KEY, _GOOGLE_KEY):
        state.authorization = b"Bearer " + value
    elif bit == _ORIGIN:
        state.origin = value
    elif bit == _KEY:
        state.idempotency_key = value
    elif bit == _ENCODING and value.lower() != b"identity":
        return UnsupportedMediaType("A body must not be compressed.", code="content-encoding-refused", hint="Send it as it is.")
    elif bit == _CODING and value.lower() != b"chunked":
        return InvalidInput("A body may come in chunks, in no other coding.", code="malformed-request", hint="Send it as it is.")
    return None


def _odd_target(scope: Any, state: RequestState) -> HubError | None:
    raw = scope.get("raw_path") or b""
    if b"%" in raw and _ENCODED.search(raw):
        return NotFound("There is nothing at this path.", code="unknown-route")
    query = scope["query_string"]
    if not query:
        return None
    if query.count(b"&") >= MAX_PARAMETERS:
        return InvalidInput(f"At most {MAX_PARAMETERS} parameters.", code="too-many-parameters")
    if b"%00" in query:
        return InvalidInput("A parameter must not hold U+0000.", code="bad-text", hint="No database keeps it.")
    return _take_ticket(scope, state) if _TICKET_MARK in query else None
