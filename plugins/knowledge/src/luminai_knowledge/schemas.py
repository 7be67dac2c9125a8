"""What the knowledge base answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Section(Struct, frozen=True):
    """A heading of a document; ``anchor`` is its fragment in the rendered page, ``level`` 1 to 6."""

    heading: str
    level: int
    anchor: str


class DocumentEntry(Struct, frozen=True, kw_only=True):
    """A document in the catalogue.

    Attributes:
        id: ``<folder>:<path>``, or what the front matter says.
        path: Path below the folder without ``.md``.
        url: Where the documentation site shows it.
    """

    id: str
    title: str
    folder: str
    path: str
    url: str
    tags: tuple[str, ...] = ()


class Document(DocumentEntry, frozen=True, kw_only=True):
    """A whole document.

    Attributes:
        markdown: Source without front matter.
        text: The words as a reader sees them: headings and paragraphs, no markup, no code blocks. Quotations stand in it word for word.
        sections: Headings in order.
    """

    markdown: str
    text: str
    sections: tuple[Section, ...]
    indexed_at: datetime


class Passage(Struct, frozen=True, kw_only=True):
    """A section of a document that fits a query.

    Attributes:
        headings: Headings from the top down to the section.
        anchor: Fragment of the section, "" before the first heading.
        text: The section's words, paragraphs apart by an empty line; part of the document's ``text``.
        code: The section's code blocks.
        snippet: The sentence that fits best, cut to 240 characters.
        score: Relevance, larger is better; only comparable within one search.
    """

    document_id: str
    title: str
    headings: tuple[str, ...]
    anchor: str
    url: str
    text: str
    code: str
    snippet: str
    score: float


class Found(Struct, frozen=True, kw_only=True):
    """What a search found: one page, best first.

    Attributes:
        next_cursor: None: a better query finds more than a second page does.
        method: By what was searched: ``words``, or ``words+meaning``, whose two rankings are fused.
        model: Model that the meaning is by, "" for ``words``.
        missing: Code of why meaning had no part although it is set up, "" otherwise.
    """

    items: list[Passage]
    next_cursor: str | None = None
    method: Literal["words", "words+meaning"] = "words"
    model: str = ""
    missing: str = ""


class FolderState(Struct, frozen=True, kw_only=True):
    """A configured folder: ``problem`` says why it could not be read, "" when it could."""

    name: str
    documents: int = 0
    problem: str = ""


class FileProblem(Struct, frozen=True):
    """A file that is not indexed, or not as it asked to be."""

    file: str
    reason: str


class Description(Struct, frozen=True, kw_only=True):
    """What the knowledge base holds; ``problems`` are the first 50 of ``problem_count``."""

    documents: int
    passages: int
    folders: tuple[FolderState, ...]
    problems: tuple[FileProblem, ...] = ()
    problem_count: int = 0
    indexing: bool = False
    failure: str = ""


class IndexReport(Struct, frozen=True, kw_only=True):
    """What an indexing run changed, in documents; ``complete`` False: it goes on in the background."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    problems: int = 0
    complete: bool = True
