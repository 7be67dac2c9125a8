"""What the server itself reads out of a request's head."""

from __future__ import annotations

from collections.abc import Iterable

from luminai.http.hosts import host_of
from luminai.http.server.limits import LARGE_BODY, MAX_HEAD, MAX_LINE

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, and values."""


def are_too_large(headers: Headers) -> bool:
    """Tell whether one header, or all together, have more bytes than a request may bring."""
    sizes = [len(name) + len(value) + 4 for name, value in headers]
    return max(sizes, default=0) > MAX_LINE or sum(sizes) > MAX_HEAD


def is_named(host: bytes, headers: Headers) -> bool:
    """Tell whether the host of an address in absolute form is that of the Host header, by which the request is judged."""
    return all(host_of(value.decode("latin-1")) == host.decode("latin-1").lower() for name, value in headers if name == b"host")


def is_upload(headers: Headers) -> bool:
    """Tell whether a body was announced as so large that it gets more time."""
    length = next((value for name, value in headers if name == b"content-length"), b"")
    return len(length) < 20 and length.isdigit() and int(length) > LARGE_BODY
