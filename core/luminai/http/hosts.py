"""The names that this hub goes by, and the pages of other origins that may call it. Compared as parsed parts, never by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_MAX_REMEMBERED: Final = 256
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?")
"""A Host header is a name and a port; with more in it (a user, a path) two readers of the address would read two things."""


class Hosts:
    """Host names, with any port: a forwarded port or a proxy's own is no other hub.

    Args:
        names: What the operator names; a public address may be among them.
        bound: The address that the server listens on.
        is_https: Whether people reach the hub by HTTPS, its own or a proxy's.
    """

    def __init__(self, names: Iterable[str], *, bound: str, is_https: bool = False) -> None:
        self.is_https = is_https
        given = {host_of(name) for name in names if name}
        self.names = frozenset(given | LOOPBACK | ({bound} - EVERYWHERE))
        self._known: set[bytes] = set()

    def knows(self, header: bytes) -> bool:
        """Tell whether a Host header names this hub."""
        if header in self._known:
            return True
        text = header.decode("latin-1")
        name = host_of(text)
        if name not in self.names or not _HOST.fullmatch(text):
            return False
        if len(self._known) < _MAX_REMEMBERED:
            self._known.add(header)
        return True

    def is_own(self, origin: bytes) -> bool:
        """Tell whether an Origin header is that of a page which this hub serves."""
        parsed = origin_of(origin.decode("latin-1"))
        return parsed is not None and parsed[1] in self.names


def host_of(text: str) -> str:
    """Return the host of ``host``, ``host:port``, ``[v6]:port`` or a URL in lower case, "" where there is none."""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def origin_of(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin or URL, None where it is none (``null`` is none)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


class Origins:
    """Pages of other origins that may read answers (CORS). Off when there are none; credentials in cookies are never allowed.

    Args:
        allowed: Origins such as ``https://app.example.org``.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(filter(None, map(origin_of, allowed)))

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Return what an answer to a page of ``origin`` carries; none for a foreign one."""
        if origin_of(origin.decode("latin-1")) not in self._allowed:
            return [(b"vary", b"origin")]
        return [(b"access-control-allow-origin", origin), (b"vary", b"origin"), (b"access-control-expose-headers", EXPOSED)]

    def preflight(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Return what the answer to a preflight carries."""
        found = self.headers(origin)
        if len(found) > 1:
            found += [(b"access-control-allow-methods", METHODS), (b"access-control-allow-headers", TAKEN), (b"access-control-max-age", b"600")]
        return found


METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
TAKEN: Final = b"anthropic-version, authorization, content-type, idempotency-key, if-match, last-event-id, prefer, x-api-key, x-goog-api-key"
EXPOSED: Final = b"luminai-generation, x-request-id, ratelimit, ratelimit-policy, retry-after, etag, location, idempotency-replayed"
