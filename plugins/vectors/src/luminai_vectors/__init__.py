"""Vectors of owners: stores, and texts found by meaning. Names load on first use: not every reader of them needs numpy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_vectors.bounds import (
        MAX_BATCH,
        MAX_DIMENSION,
        MAX_K,
        check_collection,
        check_dimension,
        check_ids,
        check_k,
        check_place,
        unit,
        units,
    )
    from luminai_vectors.contract import SHARED, SOURCE_POINT, STORE_POINT, Hit, StoredVector, Text, TextSource, VectorItem, VectorStore
    from luminai_vectors.privacy import erase_of, export_of
    from luminai_vectors.service import Nearest, Vectors

_HOME: Final = {
    "Hit": "contract",
    "MAX_BATCH": "bounds",
    "MAX_DIMENSION": "bounds",
    "MAX_K": "bounds",
    "Nearest": "service",
    "SHARED": "contract",
    "SOURCE_POINT": "contract",
    "STORE_POINT": "contract",
    "StoredVector": "contract",
    "Text": "contract",
    "TextSource": "contract",
    "VectorItem": "contract",
    "VectorStore": "contract",
    "Vectors": "service",
    "check_collection": "bounds",
    "check_dimension": "bounds",
    "check_ids": "bounds",
    "check_k": "bounds",
    "check_place": "bounds",
    "erase_of": "privacy",
    "export_of": "privacy",
    "unit": "bounds",
    "units": "bounds",
}
__all__ = [
    "MAX_BATCH",
    "MAX_DIMENSION",
    "MAX_K",
    "SHARED",
    "SOURCE_POINT",
    "STORE_POINT",
    "Hit",
    "Nearest",
    "StoredVector",
    "Text",
    "TextSource",
    "VectorItem",
    "VectorStore",
    "Vectors",
    "check_collection",
    "check_dimension",
    "check_ids",
    "check_k",
    "check_place",
    "erase_of",
    "export_of",
    "unit",
    "units",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'luminai_vectors' has no public name {name!r}")
    return getattr(import_module(f"luminai_vectors.{_HOME[name]}"), name)
