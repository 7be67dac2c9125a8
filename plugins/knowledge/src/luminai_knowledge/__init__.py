"""Folders of Markdown as a searchable knowledge base. Names load on first use, so that the command stays quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_knowledge.language import Analyser, sentences
    from luminai_knowledge.markdown import heading_slug
    from luminai_knowledge.meaning import MEANING_POINT, MeaningIndex, NearPassages, PassageText
    from luminai_knowledge.schemas import Description, Document, DocumentEntry, FolderState, Found, IndexReport, Passage, Section
    from luminai_knowledge.service import Knowledge

_HOME: Final = {
    "Analyser": "language",
    "Description": "schemas",
    "Document": "schemas",
    "DocumentEntry": "schemas",
    "FolderState": "schemas",
    "Found": "schemas",
    "IndexReport": "schemas",
    "Knowledge": "service",
    "MEANING_POINT": "meaning",
    "MeaningIndex": "meaning",
    "NearPassages": "meaning",
    "Passage": "schemas",
    "PassageText": "meaning",
    "Section": "schemas",
    "heading_slug": "markdown",
    "sentences": "language",
}
__all__ = [
    "MEANING_POINT",
    "Analyser",
    "Description",
    "Document",
    "DocumentEntry",
    "FolderState",
    "Found",
    "IndexReport",
    "Knowledge",
    "MeaningIndex",
    "NearPassages",
    "Passage",
    "PassageText",
    "Section",
    "heading_slug",
    "sentences",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'luminai_knowledge' has no public name {name!r}")
    return getattr(import_module(f"luminai_knowledge.{_HOME[name]}"), name)
