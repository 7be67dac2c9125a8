"""The Merkle tree of RFC 6962 (section 2.1): roots, inclusion and consistency proofs, and their checks (RFC 9162, 2.1.3.2 and 2.1.4.2).

A tree is read through ``Node``: ``node(level, position)`` is the hash of the complete subtree over the leaves
``[position * 2**level, (position + 1) * 2**level)``, so every proof takes O(log n) look-ups. Hashes have 32 bytes.

The checks take a size and a root. Only those of a signed checkpoint may be given: a bare inclusion proof can hold for several sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from secrets import compare_digest
from typing import Final

Node = Callable[[int, int], bytes]
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_PROOF: Final = 64


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's data."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Appender:
    """Adds leaves in O(log n) by keeping the complete subtrees at the right edge.

    Args:
        size: Leaves that are there.
        peaks: Hashes of the complete subtrees that they form, largest first: one for each set bit of ``size``.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks):
            raise ValueError("a tree has one peak for each set bit of its size")
        self.size = size
        self._peaks = list(peaks)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf's hash and return the subtrees that it completes, as (level, position, hash), lowest first."""
        completed = []
        current, level = leaf, 0
        while self.size >> level & 1:
            current, level = node_hash(self._peaks.pop(), current), level + 1
            completed.append((level, self.size >> level, current))
        self._peaks.append(current)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root over all leaves."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


def peaks_at(size: int) -> list[tuple[int, int]]:
    """Return the (level, position) of the complete subtrees that the first ``size`` leaves form, largest first."""
    levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
    return [(level, (size >> level) - 1) for level in levels]


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """Return the hashes that lead from leaf ``index`` to the root of the first ``size`` leaves.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("the leaf lies outside of the tree")
    proof: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range(node, middle, end))
            end = middle
        else:
            proof.append(_range(node, begin, middle))
            begin = middle
    return proof[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """Return the hashes that show the first ``old`` leaves to be the beginning of the first ``new``.

    Raises:
        ValueError: not ``0 < old <= new``.
    """
    if not 0 < old <= new:
        raise ValueError("the older tree must have a leaf and be the smaller one")
    proof: list[bytes] = []
    begin, end, is_whole = 0, new, True
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(_range(node, middle, end))
            end = middle
        else:
            proof.append(_range(node, begin, middle))
            begin, is_whole = middle, False
    if not is_whole:
        proof.append(_range(node, begin, end))
    return proof[::-1]


def includes(leaf: bytes, index: int, proof: Sequence[bytes], *, size: int, root: bytes) -> bool:
    """Tell whether ``proof`` shows the leaf's hash at ``index`` of the tree with this size and root."""
    if not _well_formed(proof, leaf, root) or not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(step, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, step)
        here, last = here >> 1, last >> 1
    return last == 0 and compare_digest(found, root)


def continues(proof: Sequence[bytes], *, old_size: int, old_root: bytes, size: int, root: bytes) -> bool:
    """Tell whether ``proof`` shows the older tree to be the beginning of the newer one."""
    if not _well_formed(proof, old_root, root) or not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and compare_digest(old_root, root)
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    here, last = old_size - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_found = found = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_found, found = node_hash(step, old_found), node_hash(step, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, step)
        here, last = here >> 1, last >> 1
    return last == 0 and compare_digest(old_found, old_root) and compare_digest(found, root)


def _range(node: Node, begin: int, end: int) -> bytes:
    """Return the root over leaves ``[begin, end)``; ``begin`` is a multiple of the least power of two that is no less than their number."""
    count = end - begin
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(count)
    return node_hash(_range(node, begin, middle), _range(node, middle, end))


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _well_formed(proof: Sequence[bytes], *hashes: bytes) -> bool:
    return len(proof) <= MAX_PROOF and all(len(one) == HASH_BYTES for one in (*proof, *hashes))
