"""From a Markdown file to titled sections of plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct

from luminai_knowledge.schemas import Section

MAX_PIECE: Final = 4_000
MAX_PIECES: Final = 2_000
MAX_TITLE: Final = 300
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_FIELD: Final = re.compile(r"^(title|id|tags)[ \t]*:[ \t]*(.*)\Z")
_ID: Final = re.compile(r"^[a-z][a-z0-9-]*:[A-Za-z0-9._/-]{1,180}\Z")
_NOT_IN_SLUG: Final = re.compile(r"[^\w\u4e00-\u9fff\- ]")


class Piece(Struct, frozen=True, kw_only=True):
    """A section, or a part of a long one."""

    headings: tuple[str, ...]
    anchor: str
    text: str
    code: str


class Parsed(Struct, frozen=True, kw_only=True):
    """A parsed file; ``id`` is "" unless the front matter gives a good one, ``problem`` says what could not be taken as it stands."""

    id: str
    title: str
    tags: tuple[str, ...]
    markdown: str
    sections: tuple[Section, ...]
    pieces: tuple[Piece, ...]
    problem: str = ""

    @property
    def text(self) -> str:
        """All words of the document: headings and paragraphs, apart by empty lines."""
        parts: list[str] = []
        shown: tuple[str, str] | None = None
        for piece in self.pieces:
            place = (piece.anchor, piece.headings[-1] if piece.headings else "")
            if place != shown and place[1]:
                parts.append(place[1])
            shown = place
            parts.append(piece.text)
        return "\n\n".join(part for part in parts if part)


def parse(source: str, *, name: str) -> Parsed:
    """Parse a file; ``name`` is its title if it has no other."""
    source = source.replace("\x00", "\ufffd")
    fields, body = _front_matter(source)
    reader = _Reader()
    reader.read(MarkdownIt("commonmark").enable("table").parse(body))
    problem = f"only the first {MAX_PIECES} sections are indexed" if len(reader.pieces) > MAX_PIECES else ""
    document_id = fields.get("id", "")
    if document_id and not _ID.match(document_id):
        problem, document_id = f"front matter id {document_id[:60]!r} does not look like kind:name", ""
    first = next((section.heading for section in reader.sections if section.level == 1), "")
    return Parsed(
        id=document_id,
        title=(fields.get("title") or first or name)[:MAX_TITLE],
        tags=tuple(tag[:80] for tag in fields.get("tags", "").split("\n") if tag)[:32],
        markdown=body,
        sections=tuple(reader.sections[:MAX_PIECES]),
        pieces=tuple(reader.pieces[:MAX_PIECES]),
        problem=problem,
    )


def heading_slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub makes it; a page that uses it for its own headings has the anchors that passages link to."""
    return _NOT_IN_SLUG.sub("", title.strip().lower().replace(" ", "-"))[:MAX_TITLE]


def _front_matter(source: str) -> tuple[dict[str, str], str]:
    """Return ``title``, ``id`` and ``tags`` (one a line) of a YAML block at the top, and the rest. Other fields are passed over."""
    found = _FRONT_MATTER.match(source)
    if found is None:
        return {}, source
    fields: dict[str, str] = {}
    current = ""
    for line in found[1].splitlines():
        field = _FIELD.match(line)
        if field:
            current, value = field[1], field[2].strip()
            listed = current == "tags" and value.startswith("[") and value.endswith("]")
            values = value[1:-1].split(",") if listed else [value]
            fields[current] = "\n".join(one for one in map(_unquoted, values) if one)
        elif current == "tags" and line.lstrip().startswith("- "):
            fields["tags"] = "\n".join([*filter(None, [fields.get("tags")]), _unquoted(line.lstrip()[2:])])
        elif line.strip() and not line[0].isspace():
            current = ""
    return fields, source[found.end() :]


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1].strip() if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


class _Reader:
    """Walks the tokens of a document and collects its sections."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.pieces: list[Piece] = []
        self._path: list[tuple[int, str]] = []
        self._anchor = ""
        self._anchors: dict[str, int] = {}
        self._blocks: list[str] = []
        self._code: list[str] = []
        self._cells: list[str] | None = None

    def read(self, tokens: Sequence[Token]) -> None:
        before: Token | None = None
        for token in tokens:
            if token.type == "inline":
                if before is not None and before.type == "heading_open":
                    self._heading(token, int(before.tag[1]))
                else:
                    self._block(plain(token.children or ()))
            elif token.type in ("fence", "code_block"):
                self._code.append(token.content.rstrip())
            elif token.type == "tr_open":
                self._cells = []
            elif token.type == "tr_close":
                row, self._cells = " | ".join(self._cells or ()), None
                self._block(row)
            before = token
        self._finish()

    def _block(self, text: str) -> None:
        if self._cells is not None:
            self._cells.append(text)
        elif text:
            self._blocks.append(text)

    def _heading(self, token: Token, level: int) -> None:
        self._finish()
        children = token.children or ()
        heading = plain(children)[:MAX_TITLE]
        self._path = [entry for entry in self._path if entry[0] < level] + [(level, heading)]
        title = "".join(child.content for child in children if child.type in ("text", "code_inline"))
        self._anchor = _unique(heading_slug(title), self._anchors)
        self.sections.append(Section(heading, level, self._anchor))

    def _finish(self) -> None:
        """Close the section; one longer than ``MAX_PIECE`` characters becomes several pieces."""
        if not (self._blocks or self._code or self._path):
            return
        headings = tuple(heading for _, heading in self._path)
        parts: list[list[str]] = [[]]
        size = 0
        for block in (cut for whole in self._blocks for cut in _cuts(whole)):
            if size + len(block) > MAX_PIECE and parts[-1]:
                parts.append([])
                size = 0
            parts[-1].append(block)
            size += len(block)
        code = "\n\n".join(self._code)
        for number, part in enumerate(parts):
            text = "\n\n".join(part)
            self.pieces.append(Piece(headings=headings, anchor=self._anchor, text=text, code=code if number == 0 else ""))
        self._blocks, self._code = [], []


def _cuts(block: str) -> list[str]:
    """Return the block, or a very long one cut at white space."""
    cuts: list[str] = []
    while len(block) > MAX_PIECE:
        at = block.rfind(" ", 1, MAX_PIECE)
        at = at if at > 0 else MAX_PIECE
        cuts.append(block[:at].strip())
        block = block[at:].strip()
    return [*cuts, block]


def plain(children: Sequence[Token]) -> str:
    """Return inline content as a reader sees it, white space as single spaces, HTML left out."""
    parts: list[str] = []
    for child in children:
        if child.type in ("text", "code_inline", "text_special"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(plain(child.children or ()))
    return " ".join("".join(parts).split())


def _unique(slug: str, taken: dict[str, int]) -> str:
    """Return the slug with the number that common anchor plugins give to a repeated heading; ``taken`` holds the next number of each."""
    unique, number = slug, taken.get(slug, 0)
    while unique in taken:
        number = max(number, 1)
        unique = f"{slug}-{number}"
        number += 1
    taken[slug] = max(number, 1)
    taken.setdefault(unique, 1)
    return unique
