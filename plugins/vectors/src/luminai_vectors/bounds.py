"""What every store checks before it works, so that all refuse the same things in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from luminai import Conflict, InvalidInput
from luminai_vectors.contract import MAX_COLLECTION, VectorItem

MAX_DIMENSION: Final = 4_096
MAX_BATCH: Final = 1_000
MAX_K: Final = 200
MAX_ID: Final = 200
MAX_OWNER: Final = 120
_COLLECTION: Final = re.compile(rf"[a-z0-9][A-Za-z0-9._:@/+-]{{0,{MAX_COLLECTION - 1}}}\Z")
Floats = npt.NDArray[np.float32]


def check_place(owner: str, collection: str) -> None:
    """Check an owner and a collection's name.

    Raises:
        InvalidInput: one is empty, too long or has signs that a name may not have (codes ``vectors.bad-owner``, ``vectors.bad-collection``).
    """
    if not owner or len(owner) > MAX_OWNER or not owner.isprintable():
        raise InvalidInput(f"An owner has 1 to {MAX_OWNER} printable characters.", code="vectors.bad-owner")
    check_collection(collection)


def check_collection(collection: str) -> None:
    """Check a collection's name. Raises as ``check_place``."""
    if _COLLECTION.match(collection) is None:
        said = f"A collection's name has 1 to {MAX_COLLECTION} letters, digits or ._:@/+- and begins with a small letter or a digit."
        raise InvalidInput(said, code="vectors.bad-collection")


def check_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids.

    Raises:
        InvalidInput: too many, or one is empty, too long or not printable (code ``vectors.bad-items``).
    """
    found = list(ids)
    if len(found) > MAX_BATCH:
        raise InvalidInput(f"At most {MAX_BATCH} at once.", code="vectors.bad-items", hint="Send them in batches.")
    if any(not one or len(one) > MAX_ID or not one.isprintable() for one in found):
        raise InvalidInput(f"An id has 1 to {MAX_ID} printable characters.", code="vectors.bad-items")
    return found


def check_k(k: int) -> int:
    """Return ``k``.

    Raises:
        InvalidInput: it is not from 1 to 200 (code ``vectors.bad-k``).
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput(f"From 1 to {MAX_K} can be asked for.", code="vectors.bad-k")
    return k


def unit(vector: Any) -> Floats:
    """Return a vector of length 1 in the same direction.

    Raises:
        InvalidInput: no numbers, none or too many of them, one is not finite, or the length is 0 (code ``vectors.bad-vector``).
    """
    row: Floats = _matrix([vector])[0]
    return row


def units(items: Sequence[VectorItem]) -> tuple[list[str], Floats]:
    """Return the ids of the items and a matrix of their vectors, each of length 1. Of two items with one id the last holds.

    Raises:
        InvalidInput: as ``unit`` and ``check_ids``, or the vectors have different dimensions.
    """
    last = {item.id: item.vector for item in items}
    check_ids([item.id for item in items])
    return list(last), _matrix(list(last.values()))


def check_dimension(found: int, fixed: int) -> None:
    """Check a vector's dimension against its collection's.

    Raises:
        Conflict: it is another one (code ``vectors.dimension``).
    """
    if found != fixed:
        hint = "A collection has vectors of one model; drop it, or take another name for the new model."
        raise Conflict(f"The collection has {fixed} dimensions, the vector {found}.", code="vectors.dimension", hint=hint)


def _matrix(vectors: list[Any]) -> Floats:
    try:
        wide = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("Vectors are numbers, all of one dimension.", code="vectors.bad-vector") from None
    if not vectors:
        return np.empty((0, 0), dtype=np.float32)
    if wide.ndim != 2 or not 1 <= wide.shape[1] <= MAX_DIMENSION:
        raise InvalidInput(f"A vector has 1 to {MAX_DIMENSION} numbers.", code="vectors.bad-vector")
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or (largest == 0).any():
        raise InvalidInput("A vector has finite numbers, and they are not all 0.", code="vectors.bad-vector")
    wide /= largest  # so that squares of very large and very small numbers are numbers too
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide.astype(np.float32)
