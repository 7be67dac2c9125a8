"""Markdown to HTML. Raw HTML in documents is shown as text, never passed on."""

from __future__ import annotations

import html
from functools import cache

from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_FORMATTER = HtmlFormatter(nowrap=True)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "highlight": _highlight}).enable("table").enable("strikethrough")
    parser.use(anchors_plugin, max_level=6)
    return parser


def render(source: str) -> str:
    """Return a document as HTML; its headings have the anchors that the knowledge base links to."""
    found: str = _markdown().render(source)
    return found


def highlight_css() -> str:
    """Return the colours of code, as custom properties of the site's own theme allow."""
    dark = HtmlFormatter(style="github-dark").get_style_defs("pre code")
    light = HtmlFormatter(style="default").get_style_defs(":root[data-theme=light] pre code")
    return f"{dark}\n{light}\npre code {{ background: none }}\n"


def _highlight(code: str, language: str, _: str) -> str:
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None:
        return html.escape(code)
    shown: str = highlight(code, lexer, _FORMATTER)
    return shown
