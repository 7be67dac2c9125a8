"""From a URL to what is connected to. The text is parsed once, by the parser that the HTTP library uses, and the library gets the parsed URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from yarl import URL

from luminai.contracts.errors import Upstream
from luminai.http.outbound.addresses import IPAddress, is_nameable, is_public
from luminai.http.outbound.failures import refused
from luminai.http.outbound.grants import PREFIX, PRIVATE, USUAL_PORTS, Grant, read_host

MAX_URL: Final = 8192
_NEVER_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
"""Parsers drop or turn these, each in its own way, so that two of them see two hosts."""


class Target(Struct, frozen=True):
    """A URL that may be called.

    Attributes:
        private: The private address and port that a grant opened; the address is None when the grant names a host, and all that it leads to
            have to be private. None for the public rest.
    """

    url: URL
    host: str
    private: tuple[IPAddress | None, int] | None

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port."""
        return self.url.scheme, self.host, self.url.port


def target_of(text: str, grants: Iterable[Grant], *, before: Target | None = None) -> Target:
    """Return where ``text`` leads.

    Args:
        before: What redirected there. From outside nobody is led to a private service, granted or not.

    Raises:
        Upstream: it is no URL that the hub calls, or no grant covers it (code ``outbound-refused``).
    """
    base = before.url if before is not None else None
    url = _parse(text, base)
    if url.scheme not in ("http", "https"):
        raise refused("Only http and https are called.")
    if base is not None and base.scheme == "https" and url.scheme == "http":
        raise refused("The service redirects from https to http.")
    if "@" in url.raw_authority:
        raise refused("The URL carries a user name or password.", "Send an Authorization header.")
    try:
        host, address = read_host(url.raw_host or "")
    except ValueError:
        raise refused("The URL has no host that can be called.", "Write a name, or an address in its usual form.") from None
    port = url.port or 0
    grant = next((grant for grant in grants if grant.covers(host, address, port)), None)
    if grant is None:
        raise _not_granted(host, address, port)
    private = (address, port) if grant.is_private or (address is not None and not is_public(address)) else None
    if before is not None and before.private is None and private is not None:
        raise refused("A public service redirects to a private one.")
    return Target(url.with_fragment(None), host, private)


def _parse(text: str, base: URL | None) -> URL:
    if len(text) > MAX_URL:
        raise refused(f"The URL is longer than {MAX_URL} characters.")
    if _NEVER_IN_A_URL.search(text):
        raise refused("The URL has spaces, control characters or a backslash in it.", "Encode them.")
    try:
        url = URL(text)
        return base.join(url) if base is not None else url
    except ValueError:
        raise refused("That is not a URL.") from None


def _not_granted(host: str, address: IPAddress | None, port: int) -> Upstream:
    is_private = address is not None and not is_public(address)
    if is_private and address is not None and not is_nameable(address):
        return refused("The hub never calls that address.")
    shown = f"[{host}]" if ":" in host else host
    if is_private or port not in USUAL_PORTS:
        shown += f":{port}"
    hint = f'The operator may allow it: approve = ["{PREFIX}{shown}"] in the plugin\'s section of config.toml.'
    if address is None:
        hint += f' For a service in a private network: "{PRIVATE}{host}:{port}".'
    return refused(f"The plugin may not call {shown}.", hint)
