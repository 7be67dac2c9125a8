"""The packaged files, loaded once, each under an address that carries the hash of its content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

from luminai_site.rendering import highlight_css

TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
NAMES: Final = ("site.css", "playground.js", "theme.js", "favicon.svg")


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
    found = {}
    for name, content in contents.items():
        stem, _, kind = name.rpartition(".")
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[name] = Asset(f"/static/{stem}.{digest}.{kind}", content, TYPES[kind])
    return found
