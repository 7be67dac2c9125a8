"""The packaged files, loaded once, each under an address that carries the hash of its content."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

from luminai_site.rendering import highlight_css

TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
NAMES: Final = (
    "site.css",
    "account.css",
    "favicon.svg",
    "dom.js",
    "theme.js",
    "account-api.js",
    "playground.js",
    "account-forms.js",
    "account-letter.js",
    "account-session.js",
    "account-entry.js",
    "account-lists.js",
    "account-factor.js",
    "account-home.js",
    "account-invitation.js",
)
"""A script stands behind those that it imports."""
_IMPORT: Final = re.compile(rb'from "\./([a-z-]+\.js)"')
"""What one script imports of another, by the name that it has here."""


class Asset(Struct, frozen=True):
    """A file: address, content, type."""

    url: str
    content: bytes
    content_type: str


@cache
def assets() -> dict[str, Asset]:
    """Return every asset by its name."""
    folder = files("luminai_site").joinpath("static")
    contents = {name: folder.joinpath(name).read_bytes() for name in NAMES}
    contents["code.css"] = highlight_css().encode()
    found: dict[str, Asset] = {}
    for name, raw in contents.items():
        stem, _, kind = name.rpartition(".")
        content = _IMPORT.sub(lambda match: b'from "%s"' % found[match[1].decode()].url.encode(), raw) if kind == "js" else raw
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[name] = Asset(f"/static/{stem}.{digest}.{kind}", content, TYPES[kind])
    return found
