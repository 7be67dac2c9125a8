"""Which addresses an endpoint may have: public ones over https, and those private ones that the operator approved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from luminai.contracts.errors import HubError, InvalidInput, Unprocessable

if TYPE_CHECKING:
    from luminai.http.outbound.addresses import IPAddress
    from luminai.http.outbound.client import Outbound

MAX_URL: Final = 2000
_HINT: Final = "Give a public address, or have the operator approve this one in [endpoints]."


def grants_for(url: str, approved: Sequence[str]) -> list[str]:
    """Return the grants under which an endpoint is called: what the operator approved, and its own host, unless that is a private address."""
    from luminai.http.outbound.addresses import is_public

    host, address, port = _place(url)
    if address is not None and not is_public(address):
        return list(approved)
    return [*approved, f"outbound:{f'[{host}]' if ':' in host else host}:{port}"]


async def check_url(url: str, approved: Sequence[str], outbound: Outbound) -> None:
    """Refuse an address that an endpoint must not have. Where it leads is looked at again at every call.

    Raises:
        InvalidInput: it is no address, or not https (code ``bad-endpoint-url``).
        Unprocessable: it is, or leads to, a private address that the operator did not approve (code ``private-endpoint``).
    """
    from luminai.http.outbound.addresses import is_public
    from luminai.http.outbound.grants import outbound_grants

    if _is_callable(url, approved):
        return  # the operator wrote it down, so http will do
    host, address, port = _place(url)
    if not url.startswith("https://"):
        raise InvalidInput("An endpoint is called over https only.", code="bad-endpoint-url", hint="Write it as https://example.org/hook.")
    if address is not None and not is_public(address):
        raise Unprocessable(f"{host} is a private address.", code="private-endpoint", hint=_HINT)
    try:
        outbound_grants(grants_for(url, ()))
    except ValueError as error:
        raise _bad(str(error)) from None
    if not _is_callable(url, grants_for(url, ())):
        raise _bad("It carries a password, or signs that do not belong there.")
    if address is None and any(not is_public(one) for one in await outbound.addresses(host, port)):
        raise Unprocessable(f"{host} leads to a private address.", code="private-endpoint", hint=_HINT)


def _is_callable(url: str, grants: Sequence[str]) -> bool:
    from luminai.http.outbound.grants import outbound_grants
    from luminai.http.outbound.targets import target_of

    try:
        target_of(url, outbound_grants(grants))
    except HubError:
        return False
    return True


def _place(url: str) -> tuple[str, IPAddress | None, int]:
    from yarl import URL

    from luminai.http.outbound.grants import read_host

    try:
        parsed = URL(url)
        host, address = read_host(parsed.raw_host or "")
    except ValueError:
        raise _bad("That is no address of an endpoint.") from None
    return host, address, parsed.port or 443


def _bad(what: str) -> InvalidInput:
    return InvalidInput(what, code="bad-endpoint-url", hint="Write it as https://example.org/hook.")
