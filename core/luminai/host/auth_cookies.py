"""The cookies of a browser's session, and who may send them along.

A refresh token in a cookie is read on refresh and sign-out only, and only when the browser says that our own page asks (LW-D13: whoever brings the
token in the body is no browser that could be tricked).
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Cookie

from luminai.contracts.errors import Forbidden
from luminai.identity.identity import Identity
from luminai.identity.sign_in import Opened

REFRESH: Final = "luminai_refresh"
DEVICE: Final = "luminai_device"
TRIP: Final = "luminai_trip"
_DEVICE_SECONDS: Final = 365 * 24 * 3600


def session_cookies(identity: Identity, request: Request[Any, Any, Any], opened: Opened, public_url: str) -> list[Cookie]:
    """Return the cookies of an opened session: the refresh token until the session's absolute end, and the device's token for a year."""
    seconds = identity.settings.session_days * 24 * 3600
    made = [_cookie(request, public_url, REFRESH, opened.refresh_token, seconds)]
    if opened.device_token:
        made.append(_cookie(request, public_url, DEVICE, opened.device_token, _DEVICE_SECONDS))
    return made


def ended_cookie(request: Request[Any, Any, Any], public_url: str) -> Cookie:
    """Return the cookie that takes the refresh token out of the browser."""
    return _cookie(request, public_url, REFRESH, "", 0)


def refresh_cookie(request: Request[Any, Any, Any], public_url: str) -> str:
    """Return the refresh token of a browser, "" without one.

    Raises:
        Forbidden: it comes with a request of another site (code ``cross-site``).
    """
    token = request.cookies.get(_name(request, public_url, REFRESH), "")
    if token:
        _check_site(request, public_url)
    return token


def device_cookie(request: Request[Any, Any, Any], public_url: str) -> str:
    """Return what tells that this browser signed in before, "" if it did not. It gives no access."""
    return request.cookies.get(_name(request, public_url, DEVICE), "")[:100]


def trip_cookie(request: Request[Any, Any, Any], public_url: str, value: str, lifetime: timedelta | None) -> Cookie:
    """Return what a browser is known by when it comes back from a sign-in elsewhere; without a lifetime it is taken out.

    It is the only one that comes along from another site (``Lax``), and it gives no access.
    """
    return _cookie(request, public_url, TRIP, value, int(lifetime.total_seconds()) if lifetime else 0, samesite="lax")


def trip_cookie_of(request: Request[Any, Any, Any], public_url: str, *, from_page: bool = False) -> str:
    """Return what this browser was given, "" if it was given nothing.

    Args:
        from_page: Only a page of the hub may ask.

    Raises:
        Forbidden: with ``from_page``, it comes with a request of another site (code ``cross-site``).
    """
    value = request.cookies.get(_name(request, public_url, TRIP), "")[:100]
    if value and from_page:
        _check_site(request, public_url)
    return value


def _check_site(request: Request[Any, Any, Any], public_url: str) -> None:
    """Let only our own pages through: by ``Sec-Fetch-Site`` where the browser sends it, else by ``Origin``, compared as scheme, host and port."""
    site = request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return
    if site is None and _origin(request.headers.get("origin", "")) == _own_origin(request, public_url):
        return
    hint = "Ask from the hub's own page, or send the refresh token in the body."
    raise Forbidden("The cookie came with a request of another site.", code="cross-site", hint=hint)


def _cookie(
    request: Request[Any, Any, Any], public_url: str, name: str, value: str, seconds: int, *, samesite: Literal["lax", "strict"] = "strict"
) -> Cookie:
    is_secure = _is_secure(request, public_url)
    full_name = _name(request, public_url, name)
    return Cookie(key=full_name, value=value, path="/", max_age=seconds, secure=is_secure, httponly=True, samesite=samesite)


def _name(request: Request[Any, Any, Any], public_url: str, name: str) -> str:
    return f"__Host-{name}" if _is_secure(request, public_url) else name


def _is_secure(request: Request[Any, Any, Any], public_url: str) -> bool:
    """Everywhere but on plain HTTP to this machine itself, where a browser would drop the cookie."""
    scheme, host, _ = _own_origin(request, public_url) or ("", "", None)
    return scheme != "http" or not _is_loopback(host)


def _own_origin(request: Request[Any, Any, Any], public_url: str) -> tuple[str, str, int | None] | None:
    return _origin(public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}")


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port, None for what is no address (``null`` too)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme and parts.hostname else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
