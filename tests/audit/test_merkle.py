"""The tree against an independent slow implementation of RFC 6962, and against forgeries."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai import InvalidInput
from luminai.audit.checkpoint import Checkpoint, continues_log, includes_entry, make_key, open_note, split_notes
from luminai.audit.merkle import Appender, consistency_proof, inclusion_proof, leaf_hash

SIZES = 130
LEAVES = [f"entry {number}".encode() for number in range(SIZES)]
GOLDEN_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
GOLDEN_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The vectors of the Certificate Transparency project."""


@cache
def slow_root(begin: int, end: int) -> bytes:
    """MTH(D[begin:end]), word by word from RFC 6962 section 2.1."""
    if begin == end:
        return sha256(b"").digest()
    if end - begin == 1:
        return sha256(b"\x00" + LEAVES[begin]).digest()
    middle = begin + slow_split(end - begin)
    return sha256(b"\x01" + slow_root(begin, middle) + slow_root(middle, end)).digest()


def slow_split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def slow_path(index: int, begin: int, end: int) -> list[bytes]:
    """PATH(m, D[n]), section 2.1.1."""
    if end - begin == 1:
        return []
    k = slow_split(end - begin)
    if index < k:
        return [*slow_path(index, begin, begin + k), slow_root(begin + k, end)]
    return [*slow_path(index - k, begin + k, end), slow_root(begin, begin + k)]


def slow_subproof(old: int, begin: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), section 2.1.2."""
    if old == end - begin:
        return [] if known else [slow_root(begin, end)]
    k = slow_split(end - begin)
    if old <= k:
        return [*slow_subproof(old, begin, begin + k, known=known), slow_root(begin + k, end)]
    return [*slow_subproof(old - k, begin + k, end, known=False), slow_root(begin, begin + k)]


def grown() -> tuple[dict[tuple[int, int], bytes], list[bytes]]:
    """Append all leaves one by one; return every node and the root at every size."""
    tree, nodes = Appender(), {}
    roots = [tree.root()]
    for position, leaf in enumerate(LEAVES):
        nodes[0, position] = leaf_hash(leaf)
        nodes |= {(level, place): found for level, place, found in tree.append(leaf_hash(leaf))}
        roots.append(tree.root())
    return nodes, roots


NODES, ROOTS = grown()


def node(level: int, position: int) -> bytes:
    return NODES[level, position]


def signed(size: int, root: bytes | None = None) -> Checkpoint:
    return Checkpoint("log", size, ROOTS[size] if root is None else root)


def test_roots__of_every_size__are_those_of_the_rfc() -> None:
    assert [slow_root(0, size) for size in range(SIZES + 1)] == ROOTS
    tree = Appender()
    found = []
    for text in GOLDEN_LEAVES:
        tree.append(leaf_hash(bytes.fromhex(text)))
        found.append(tree.root().hex())
    assert found == GOLDEN_ROOTS


def test_inclusion__of_every_leaf_in_every_size__is_the_rfcs_and_holds() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = inclusion_proof(node, index, size)
            assert proof == slow_path(index, 0, size)
            assert includes_entry(signed(size), node(0, index), index, proof)


def test_consistency__of_every_pair__is_the_rfcs_and_holds() -> None:
    for new in range(1, SIZES + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(node, old, new)
            assert proof == slow_subproof(old, 0, new, known=True)
            assert continues_log(signed(old), signed(new), proof)


def test_tree__continued_from_stored_peaks__is_the_same() -> None:
    for size in range(SIZES):
        levels = [level for level in range(8, -1, -1) if size >> level & 1]
        tree = Appender(size, [node(level, (size >> level) - 1) for level in levels])
        tree.append(node(0, size))
        assert tree.root() == ROOTS[size + 1]


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 5), (5, 5)])
def test_inclusion__of_no_leaf__is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        inclusion_proof(node, index, size)
    assert not includes_entry(signed(size), node(0, 0), index, [])


def damaged(proof: Sequence[bytes], dice: random.Random) -> Iterator[list[bytes]]:
    """Yield a proof with a bit flipped in each hash, cut, lengthened, doubled, swapped, replaced, with hashes of wrong length."""
    for place, step in enumerate(proof):
        bit = dice.randrange(256)
        flipped = bytearray(step)
        flipped[bit // 8] ^= 1 << bit % 8
        yield [*proof[:place], bytes(flipped), *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], step, *proof[place:]]
        yield [*proof[:place], dice.randbytes(32), *proof[place + 1 :]]
        yield [*proof[:place], step[:-1], *proof[place + 1 :]]
        yield [*proof[:place], step + b"\0", *proof[place + 1 :]]
        yield [*proof[:place], b"", *proof[place + 1 :]]
    for place in range(len(proof) - 1):
        yield [*proof[:place], proof[place + 1], proof[place], *proof[place + 2 :]]
    yield [*proof, dice.randbytes(32)]
    yield [dice.randbytes(32), *proof]
    yield [*proof, *proof] if proof else [b""]
    yield [dice.randbytes(32)] * 65


SHAPES = (1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 65, 100, 127, 128, 129, 130)


def test_forged_inclusion__every_mutation__is_refused() -> None:
    dice, refused = random.Random(6962), 0
    for size in SHAPES:
        for index in {0, size // 2, size - 1}:
            leaf, proof = node(0, index), inclusion_proof(node, index, size)
            forged = [(signed(size), leaf, index, bad) for bad in damaged(proof, dice)]
            forged += [(signed(size), leaf, other, proof) for other in (index - 1, index + 1, size, -1, 2**60) if other != index]
            forged += [(signed(other), leaf, index, proof) for other in (size - 1, size + 1, 2 * size) if 0 <= other <= SIZES]
            forged += [(signed(size, root), leaf, index, proof) for root in (ROOTS[0], dice.randbytes(32), ROOTS[size][:-1], b"")]
            forged += [(signed(size), bad, index, proof) for bad in (dice.randbytes(32), leaf[::-1], leaf[:-1], b"")]
            for attempt in forged:
                assert not includes_entry(*attempt)
                refused += 1
    assert refused >= 500


def test_forged_consistency__every_mutation__is_refused() -> None:
    dice, refused = random.Random(9162), 0
    for new in SHAPES:
        for old in {1, new // 2, new - 1} - {0, new}:
            proof = consistency_proof(node, old, new)
            forged = [(signed(old), signed(new), bad) for bad in damaged(proof, dice)]
            forged += [(signed(other), signed(new), proof) for other in (old - 1, old + 1) if other < new]
            forged += [(signed(old), signed(other), proof) for other in (new - 1, new + 1) if old < other <= SIZES]
            forged += [(signed(old, dice.randbytes(32)), signed(new), proof), (signed(old), signed(new, dice.randbytes(32)), proof)]
            forged += [(signed(new), signed(old), proof), (signed(old), Checkpoint("other", new, ROOTS[new]), proof)]
            for attempt in forged:
                assert not continues_log(*attempt)
                refused += 1
    assert refused >= 500


@settings(max_examples=200)
@given(st.integers(1, SIZES), st.data())
def test_forged_inclusion__another_leaf__never_holds(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, SIZES - 1).filter(lambda found: found != index))
    assert not includes_entry(signed(size), node(0, other), index, inclusion_proof(node, index, size))


def test_note__any_changed_character__does_not_open(tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys" / "audit.key")
    note = key.sign(42, ROOTS[42])
    assert open_note(note, key.verifier) == Checkpoint(key.name, 42, ROOTS[42])

    head = len(note.partition("\n\n")[0]) + 1
    for place in range(head):
        with pytest.raises(InvalidInput):
            open_note(note[:place] + ("B" if note[place] == "A" else "A") + note[place + 1 :], key.verifier)
    other = make_key(tmp_path / "other.key")
    line = note.splitlines()[-1]
    for forged in ("", note[:-40], note.replace("\n42\n", "\n43\n"), note.replace(line, ""), note + "x" * 5000, other.sign(42, ROOTS[42])):
        with pytest.raises(InvalidInput) as refused:
            open_note(forged, key.verifier)
        assert refused.value.code == "bad-checkpoint"
    witnessed = note + "— witness.example/1 " + "A" * 92 + "\n"
    assert open_note(witnessed, key.verifier).size == 42
    assert split_notes(note + witnessed + note[:-3]) == [note, witnessed], "a note that was cut off in a crash is left out"


def test_public_key__of_another_implementation__is_read() -> None:
    with pytest.raises(InvalidInput) as refused:
        open_note("no note", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert refused.value.code == "bad-checkpoint", "the key of the C2SP example is well-formed"
    with pytest.raises(InvalidInput) as refused:
        open_note("no note", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert refused.value.code == "bad-audit-key"
