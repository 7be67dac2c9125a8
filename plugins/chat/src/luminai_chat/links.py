"""What a hostile model could make a reader's program fetch: images, links and HTML of its reply that point to hosts nobody listed.

The text stays readable: the construct is broken by one space (``![x] (https://…)``), so that Markdown shows its source instead of rendering it. What
stands in code is treated alike, because programs differ in what they take for code. Constructs: CommonMark 0.31, sections 4.6, 4.7, 6.3 to 6.6.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

LONGEST: Final = {"]": 2000, "<": 300}
"""Characters of a construct beyond which it is broken whatever it is: so no more is held back of a stream."""
_OPENER: Final = re.compile(r"[\]<]")
_RELATIVE: Final = re.compile(r"[A-Za-z0-9._~!$'()*+,;=@%/?#-]*\Z")
_AFTER_BRACKET: Final = re.compile(r"\](?:\(|:)(\s*)")
_TAG_NAME: Final = re.compile(r"</?([A-Za-z][^\s/>]*)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*\Z")
_ACTIVE: Final = frozenset(
    {"applet", "audio", "base", "body", "embed", "form", "frame", "frameset", "iframe", "image", "img", "input", "link", "math", "meta", "noscript"}
    | {"object", "plaintext", "portal", "script", "style", "svg", "template", "textarea", "title", "video", "xmp"}
)
_BREAK: Final = " "


class LinkFilter:
    """Breaks what points elsewhere, as the text comes. The pieces in which it comes make no difference to what is told.

    Args:
        hosts: Hosts that may be pointed to, in lower case; paths of the hub itself always may.
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = frozenset(hosts)
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what is safe to tell of the text so far."""
        if not self._held and not _OPENER.search(text):
            return text
        return self._take(self._held + text, is_end=False)

    def end(self) -> str:
        """Return what was held back."""
        return self._take(self._held, is_end=True)

    def allows(self, url: str) -> bool:
        """Tell whether a reply may point to ``url``: a path of the hub, or https and http on a listed host, written without any trick."""
        if any(sign in url for sign in "\\&\"'<>`") or not url.isascii() or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url):
            return False
        if _RELATIVE.match(url):
            return not url.startswith("//")
        try:
            parts = urlsplit(url)
            return parts.scheme in ("http", "https") and url.startswith(f"{parts.scheme}://") and parts.netloc.lower() in self._hosts
        except ValueError:
            return False

    def _take(self, text: str, *, is_end: bool) -> str:
        self._held, told, at = "", [], 0
        for found in _OPENER.finditer(text):
            start = found.start()
            if start < at:
                continue
            end = self._construct(text, start)
            if end is None and is_end and text[start] == "]":
                end = len(text)
            if end is None and not is_end and len(text) - start <= LONGEST[text[start]]:
                told.append(text[at:start])
                self._held = text[start:]
                return "".join(told)
            if end is None or not self._is_harmless(text[start:end]):
                told += [text[at : start + 1], _BREAK]
                at = start + 1
        told.append(text[at:])
        return "".join(told)

    def _construct(self, text: str, start: int) -> int | None:
        """Return where the construct that opens at ``start`` ends; None while it has no end. What is none ends after its first sign."""
        if text[start] == "<":
            following = text[start + 1 : start + 2]
            if following and not (following.isascii() and (following.isalpha() or following in "/!?")):
                return start + 1
            end = text.find(">", start, start + LONGEST["<"]) if following else -1
            return end + 1 if end >= 0 else None
        following = text[start + 1 : start + 2]
        if following and following not in "(:":
            return start + 1
        found = _AFTER_BRACKET.match(text, start)
        if found is None or found.end() >= len(text):
            return None
        pattern = r">" if text[found.end()] == "<" else r"[\s)]"
        closing = re.compile(pattern).search(text, found.end(), start + LONGEST["]"])
        return closing.end() if closing else None

    def _is_harmless(self, construct: str) -> bool:
        if len(construct) == 1:
            return True
        if len(construct) > LONGEST[construct[0]]:
            return False
        if construct[0] == "]":
            target = construct[2:].strip()
            target = target[1:-1] if target.startswith("<") else target.rstrip(")")
            return self.allows(target)
        inside = construct[1:-1]
        if _SCHEME.match(inside):
            return self.allows(inside) or ("/" not in inside and inside.partition(":")[0].lower() in _HARMLESS_SCHEMES)
        name = _TAG_NAME.match(construct)
        return bool(name and name[1].lower() not in _ACTIVE and "=" not in construct)


_HARMLESS_SCHEMES: Final = frozenset({"std"})
"""``<std::string>`` looks like an autolink and is none that anything fetches."""
