"""Signed checkpoints: a size and a root under an Ed25519 signature (C2SP tlog-checkpoint in a C2SP signed-note).

::

    luminai-audit/6f0c…          the log's origin, also the key's name
    1042                         size
    <base64 of the root>

    — luminai-audit/6f0c… <base64 of key id and signature>

A fourth line marks two of them: ``key <old> <new>`` hands the log over to another key, and both sign it; ``restored <base> <size> <root>`` says
that a backup of ``base`` entries was restored on purpose, after ``size`` entries had been signed.

The key file holds one line ``PRIVATE+KEY+<name>+<key id>+<base64>``, the form of Go's signed notes.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from luminai.audit.merkle import HASH_BYTES, continues, includes
from luminai.contracts.errors import ConfigRejected, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519: Final = b"\x01"
_DASH: Final = "— "
MAX_NOTE: Final = 4096
_SUCCESSION: Final = re.compile(r"^key (\S{1,300}) (\S{1,300})$", re.MULTILINE)


class Restored(Struct, frozen=True):
    """A restore that was accepted: the log went on from ``base`` entries, although ``size`` with ``root`` had been signed."""

    base: int
    size: int
    root: bytes


class Checkpoint(Struct, frozen=True):
    """A size and a root that the log's key signed; only ``open_note`` makes one. ``succession`` are the old and the new public key."""

    origin: str
    size: int
    root: bytes
    succession: tuple[str, str] | None = None
    restored: Restored | None = None


class SigningKey:
    """The log's own key."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self.name = name
        self._private = private
        self._public = _ED25519 + private.public_key().public_bytes_raw()

    @property
    def verifier(self) -> str:
        """The public key as ``<name>+<key id>+<base64>``: give it to whoever checks the log."""
        return f"{self.name}+{_key_id(self.name, self._public).hex()}+{_encode(self._public)}"

    @property
    def id(self) -> str:
        """The key's id, as it stands in ``verifier``."""
        return _key_id(self.name, self._public).hex()

    def sign(self, size: int, root: bytes, *, restored: Restored | None = None) -> str:
        """Return the signed note of a tree."""
        more = f"restored {restored.base} {restored.size} {_encode(restored.root)}\n" if restored else ""
        text = f"{self.name}\n{size}\n{_encode(root)}\n{more}"
        return f"{text}\n{self._line(text)}"

    def hand_over(self, new: SigningKey, size: int, root: bytes) -> str:
        """Return the note that makes ``new`` the log's key from this size on; both sign it."""
        text = f"{self.name}\n{size}\n{_encode(root)}\nkey {self.verifier} {new.verifier}\n"
        return f"{text}\n{self._line(text)}{new._line(text)}"

    def _line(self, text: str) -> str:
        signature = _key_id(self.name, self._public) + self._private.sign(text.encode())
        return f"{_DASH}{self.name} {_encode(signature)}\n"


def refuse_exposed(path: Path) -> None:
    """Refuse a key file that others can read; one that is not there is fine.

    Raises:
        ConfigRejected: code ``audit-key-exposed``.
    """
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigRejected(f"Others can read the key file {path.name}.", code="audit-key-exposed", hint=f"Run: chmod 600 {path}")


def make_key(path: Path, name: str = "") -> SigningKey:
    """Make a key and keep it in a new file of mode 0600. ``name`` is the log's, "" for a new log.

    Raises:
        FileExistsError: there is one already.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    key = SigningKey(name or f"luminai-audit/{secrets.token_hex(8)}", private)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = f"PRIVATE+KEY+{key.name}+{key.id}+{_encode(_ED25519 + private.private_bytes_raw())}\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key(path: Path) -> SigningKey:
    """Return the key of a file.

    Raises:
        ConfigRejected: others can read it (code ``audit-key-exposed``), or it holds no key (code ``audit-key-unreadable``).
        FileNotFoundError: there is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    refuse_exposed(path)
    try:
        name, key_id, encoded = path.read_text().strip().removeprefix("PRIVATE+KEY+").split("+", 2)
        raw = _decode(encoded)
        key = SigningKey(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        if raw[:1] != _ED25519 or key.id != key_id:
            raise ValueError("key id")
    except (ValueError, InvalidInput) as error:
        raise ConfigRejected(f"{path.name} holds no audit key.", code="audit-key-unreadable", hint="Restore it from a backup.") from error
    return key


def open_note(note: str, verifier: str) -> Checkpoint:
    """Return the checkpoint of a note that ``verifier``'s key signed; signatures of others beside it are passed over.

    Raises:
        InvalidInput: it is none, or is not signed by that key (code ``bad-checkpoint``).
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, public = _verifier(verifier)
    text, separator, signatures = note.partition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if len(note) > MAX_NOTE or not separator or len(lines) < 4 or lines[0] != name:
        raise _bad("it is no checkpoint of this log")
    prefix = f"{_DASH}{name} "
    for line in signatures.splitlines():
        if not line.startswith(prefix):
            continue
        signature = _decode(line.removeprefix(prefix))
        if signature[:4] != _key_id(name, public):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], text.encode())
        except InvalidSignature as error:
            raise _bad("its signature does not hold") from error
        return _read(name, lines)
    raise _bad("the log's key did not sign it")


def check_verifier(text: str) -> None:
    """Refuse what is no public key.

    Raises:
        InvalidInput: code ``bad-audit-key``.
    """
    _verifier(text)


def named_succession(note: str) -> tuple[str, str] | None:
    """Return the two keys that a note names, whoever signed it: what to verify it with."""
    found = _SUCCESSION.search(note.partition("\n\n")[0] + "\n")
    return (found[1], found[2]) if found else None


def current_branch(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Return those of the log as it is now, from all in the order in which they were handed out: an accepted restore takes back what it lost."""
    kept: list[Checkpoint] = []
    for one in checkpoints:
        if one.restored is not None:
            kept = [before for before in kept if before.size <= one.restored.base]
        kept.append(one)
    return kept


def includes_entry(checkpoint: Checkpoint, leaf: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows the leaf's hash at ``index`` of the log that the checkpoint signs."""
    return includes(leaf, index, proof, size=checkpoint.size, root=checkpoint.root)


def continues_log(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows the log of ``older`` to be the beginning of that of ``newer``."""
    if older.origin != newer.origin:
        return False
    return continues(proof, old_size=older.size, old_root=older.root, size=newer.size, root=newer.root)


def split_notes(text: str) -> list[str]:
    """Return the notes of a file in which they stand one behind the other; a last one that was cut off while it was written is left out."""
    notes: list[str] = []
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        is_signature = line.startswith(_DASH)
        if lines and lines[-1].startswith(_DASH) and not is_signature:
            notes.append("".join(lines))
            lines = []
        if lines or line.strip():
            lines.append(line)
    whole = lines and lines[-1].startswith(_DASH) and lines[-1].endswith("\n")
    return [*notes, "".join(lines)] if whole else notes


def _read(name: str, lines: Sequence[str]) -> Checkpoint:
    succession, restored = None, None
    for line in lines[3:-1]:
        word, *values = line.split(" ")
        if word == "key" and len(values) == 2:
            _verifier(values[0]), _verifier(values[1])
            succession = (values[0], values[1])
        elif word == "restored" and len(values) == 3:
            restored = Restored(_number(values[0]), _number(values[1]), _root(values[2]))
    return Checkpoint(name, _number(lines[1]), _root(lines[2]), succession, restored)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or str(int(text)) != text:
        raise _bad("a size is malformed")
    return int(text)


def _root(text: str) -> bytes:
    root = _decode(text)
    if len(root) != HASH_BYTES:
        raise _bad("a root is malformed")
    return root


def _verifier(text: str) -> tuple[str, bytes]:
    parts = text.strip().split("+", 2)
    public = _decode(parts[-1]) if len(parts) == 3 else b""
    if len(public) != 33 or public[:1] != _ED25519 or _key_id(parts[0], public).hex() != parts[1]:
        raise InvalidInput("This is no public key of an audit log.", code="bad-audit-key", hint="`luminai audit key` prints it.")
    return parts[0], public


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + public).digest()[:4]


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("it holds no base64 where it should") from error


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"A checkpoint does not hold: {why}.", code="bad-checkpoint")
