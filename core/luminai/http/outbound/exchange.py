"""One call: what is sent, redirects followed by our own loop, and an answer read within its bounds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import ClientResponse, ClientSession
from multidict import CIMultiDict

from luminai.http.outbound.connections import MAX_HEADER_BYTES, MAX_HEADERS, opened
from luminai.http.outbound.failures import failed, refused, too_large
from luminai.http.outbound.grants import Grant
from luminai.http.outbound.targets import Target, target_of

Sessions = Callable[[bool], Awaitable[ClientSession]]
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_BODY: Final = 33_554_432
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_FOR_CALLERS: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"}
)
_ANYWHERE: Final = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "range", "user-agent"})
"""Headers that a redirect to another origin may see; all others may carry a secret (``Authorization``, ``Cookie``, ``X-Api-Key``)."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


class Call(msgspec.Struct):
    """What is sent."""

    method: str
    headers: CIMultiDict[str]
    body: bytes | None


def make_call(method: str, headers: Mapping[str, str] | None, body: bytes | None, json: Any) -> Call:
    """Return a call that may be sent.

    Raises:
        Upstream: the method or a header is not allowed, or the body is too large (code ``outbound-refused``).
        ValueError: both ``body`` and ``json`` are given.
    """
    if body is not None and json is not None:
        raise ValueError("give body or json, not both")
    if method.upper() not in METHODS:
        raise refused("That method is not used.", f"One of {', '.join(sorted(METHODS))}.")
    given = CIMultiDict(headers or {})
    if len(given) > MAX_HEADERS:
        raise refused(f"More than {MAX_HEADERS} headers.")
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _NOT_FOR_CALLERS or name.lower().startswith("proxy-"):
            raise refused("The caller may not set one of the headers.", "The hub sets Host, Content-Length and what else belongs to the connection.")
        if len(value) > MAX_HEADER_BYTES or not _HEADER_VALUE.fullmatch(value):
            raise refused(f"The value of the header {name} is too long, or not printable ASCII.")
    if json is not None:
        body = msgspec.json.encode(json)
        given.setdefault("Content-Type", "application/json")
    if body is not None and len(body) > MAX_BODY:
        raise refused(f"The body is larger than {MAX_BODY} bytes.")
    return Call(method.upper(), given, body)


async def send(sessions: Sessions, call: Call, url: str, grants: Iterable[Grant], *, redirects: int) -> ClientResponse:
    """Return the answer's beginning; the caller closes it. Each redirect is checked like a first address.

    Args:
        sessions: Returns the session for private services that are granted by name (True), or for all else.

    Raises:
        Upstream: codes as of ``HttpClient``.
    """
    target = target_of(url, grants)
    for left in range(redirects, -1, -1):
        response = await _send_once(await sessions(target.private is not None and target.private[0] is None), call, target)
        location = response.headers.get("Location")
        if redirects == 0 or response.status not in _REDIRECTS or location is None:
            return response
        response.close()
        if not left:
            break
        following = target_of(location, grants, before=target)
        call = _redirected(call, response.status, same_origin=following.origin == target.origin)
        target = following
    raise refused(f"{target.host} redirects more than {redirects} times.")


async def _send_once(session: ClientSession, call: Call, target: Target) -> ClientResponse:
    async def ask() -> ClientResponse:
        return await session.request(call.method, target.url, headers=call.headers, data=call.body, allow_redirects=False)

    token = opened.set(target.private)
    try:
        with told(target.host):
            try:
                return await ask()
            except aiohttp.ClientOSError as error:
                if not isinstance(error.__cause__, aiohttp.ClientConnectionResetError):
                    raise
            return await ask()  # the service had closed the kept connection that was taken: no whole request had left
    finally:
        opened.reset(token)


def _redirected(call: Call, status: int, *, same_origin: bool) -> Call:
    """Return the call as it goes on (RFC 9110, 15.4): 303 asks with GET, 301 and 302 do so after POST, 307 and 308 repeat it."""
    headers = call.headers.copy()
    method, body = call.method, call.body
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers.popall("Content-Type", None)
    if not same_origin:
        headers = CIMultiDict((name, value) for name, value in headers.items() if name.lower() in _ANYWHERE)
    return Call(method, headers, body)


async def read_pieces(response: ClientResponse, *, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body unpacked, as it comes.

    Raises:
        Upstream: it is larger than ``max_bytes``, or breaks off.
    """
    size = 0
    host = response.url.host or ""
    while True:
        with told(host):
            piece = await response.content.readany()
        if not piece:
            return
        size += len(piece)
        if size > max_bytes:
            raise too_large(f"{host} answers with more than {max_bytes} bytes.")
        yield piece


def plain_headers(response: ClientResponse) -> dict[str, str]:
    """Return the headers by lower-case name, repeated ones joined."""
    found: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


@contextmanager
def told(host: str) -> Iterator[None]:
    """Turn the library's errors into ours, which name no path and no address."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError:
        raise failed(f"{host} is not known.", "Check the name.") from None
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
        raise failed(f"{host} has no certificate that is valid for this name.") from None
    except aiohttp.ClientConnectorError:
        raise failed(f"{host} does not take the connection.") from None
    except aiohttp.ClientError:
        raise failed(f"{host} broke off, or gave no valid answer.") from None
    except (OSError, ValueError):
        raise failed(f"{host} could not be called.") from None
