"""The part of a collection that is in memory: a bit for the sign of each number.

Two vectors whose signs agree in most places have a small angle (Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002;
here along the axes instead of random directions). So the nearest by Hamming distance hold the nearest by cosine, if enough of them are looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from luminai_vectors.bounds import Floats

_SPARE: Final = 1_024


def signs(vectors: Floats) -> npt.NDArray[np.uint64]:
    """Return a row of words for each row of ``vectors``: a bit for each number, set where it is above 0, filled up with zeros."""
    packed = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((packed.shape[0], -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


class SignIndex:
    """Signs and numbers of rows in the order in which they came. A row that came again is there twice, one that went is still there: whoever asks
    looks the candidates up, and throws the index away when too much of it is dead.

    One task at a time may add; any thread may ask meanwhile.

    Args:
        collection: Id of the collection that it is made of.
        room: How many rows are expected.

    Attributes:
        place: Revision and number of the last row that came.
        revision: The collection's revision up to which it is whole.
    """

    def __init__(self, collection: str, dimension: int, room: int = 0) -> None:
        self.collection = collection
        self.dimension = dimension
        self.place = (0, 0)
        self.revision = 0
        self.size = 0
        self._words = -(-dimension // 64)
        self._signs = np.empty((self._words, room + _SPARE), dtype=np.uint64)
        self._numbers = np.empty(room + _SPARE, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._signs.nbytes + self._numbers.nbytes

    def add(self, numbers: list[int], packed: list[bytes]) -> None:
        """Append rows: ``packed`` are rows of ``signs`` as bytes."""
        end = self.size + len(numbers)
        if end > len(self._numbers):
            room = max(end, 2 * len(self._numbers))
            grown, names = np.empty((self._words, room), dtype=np.uint64), np.empty(room, dtype=np.int64)
            grown[:, : self.size] = self._signs[:, : self.size]
            names[: self.size] = self._numbers[: self.size]
            self._signs, self._numbers = grown, names
        self._signs[:, self.size : end] = np.frombuffer(b"".join(packed), dtype=np.uint64).reshape(len(packed), self._words).T
        self._numbers[self.size : end] = numbers
        self.size = end

    def nearest(self, vector: Floats, most: int) -> list[int]:
        """Return the numbers of up to ``most`` rows whose signs differ least from the vector's, each once, in no order."""
        size, rows, numbers = self.size, self._signs, self._numbers
        if size <= most:
            return _once(numbers[:size])
        asked = signs(vector[np.newaxis])[0]
        distance, differs, ones = np.zeros(size, dtype=np.uint16), np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.uint8)
        for row, word in zip(rows, asked, strict=True):  # word by word, so that all memory is walked in order
            np.bitwise_xor(row[:size], word, out=differs)
            np.bitwise_count(differs, out=ones)
            distance += ones
        edge = int(np.searchsorted(np.cumsum(np.bincount(distance)), most))  # the first distance with which there are enough
        inside = np.flatnonzero(distance < edge)
        found = np.concatenate((inside, np.flatnonzero(distance == edge)[: most - len(inside)]))
        return _once(numbers[found])


def _once(numbers: npt.NDArray[np.int64]) -> list[int]:
    found: list[int] = np.unique(numbers).tolist()
    return found
