"""The form of a backup: a short readable head, then everything compressed and encrypted.

::

    luminai-backup 1\\n            what it is
    <4 bytes> <JSON>              length of the head, and the head: which key, how it is derived
    <frame> <frame> …             1 MiB of plaintext each, the last one shorter or empty, AES-256-GCM

The key is HKDF-SHA-256 of the master key, or of Argon2id of a passphrase, with a salt of the file's own and the digest of the head: a changed head
opens nothing. A frame's nonce is its number and whether it is the last one (STREAM, Hoang et al. 2015): frames cannot be swapped, left out, cut off.
Inside stands one entry behind another: length and name, chunks of length and bytes, a chunk of length 0; a name of length 0 ends all.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from luminai.contracts.errors import Conflict, InvalidInput, Unprocessable
from luminai.data.vault.ring import KEY_BYTES, KeyRing, MasterKey

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = b"luminai-backup 1\n"
FRAME: Final = 1024 * 1024
TAG: Final = 16
MAX_HEAD: Final = 4096
MAX_NAME: Final = 4096
MAX_CHUNK: Final = FRAME
_LENGTH: Final = struct.Struct(">I")
_PURPOSE: Final = b"luminai backup 1"
_LEVEL: Final = 1


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the key is found. Argon2id with 64 MiB, 3 passes, 4 lanes is the second choice of RFC 9106, 4."""

    kind: Literal["master", "passphrase"]
    salt: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    master_key: Annotated[str, Meta(max_length=32)] = ""
    memory_kib: Annotated[int, Meta(ge=8, le=1024 * 1024)] = 64 * 1024
    passes: Annotated[int, Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 4


class ArchiveWriter:
    """Writes entries into a binary file.

    Args:
        by: The master key, or a passphrase.
    """

    def __init__(self, file: IO[bytes], by: MasterKey | str) -> None:
        salt = secrets.token_hex(32)
        head = Head(kind="master", salt=salt, master_key=by.id) if isinstance(by, MasterKey) else Head(kind="passphrase", salt=salt)
        raw = msgspec.json.encode(head)
        file.write(MAGIC + _LENGTH.pack(len(raw)) + raw)
        self._file = file
        self._cipher = _cipher(head, raw, by)
        self._pack = zlib.compressobj(_LEVEL)
        self._waiting = bytearray()
        self._frames = 0

    def begin(self, name: str) -> None:
        """Begin an entry."""
        raw = name.encode()
        self._put(_LENGTH.pack(len(raw)) + raw)

    def write(self, content: bytes) -> None:
        """Add to the entry."""
        for start in range(0, len(content), MAX_CHUNK):
            chunk = content[start : start + MAX_CHUNK]
            self._put(_LENGTH.pack(len(chunk)) + chunk)

    def end(self) -> None:
        """End the entry."""
        self._put(_LENGTH.pack(0))

    def close(self) -> None:
        """Write what ends the archive; the file stays open."""
        self._put(_LENGTH.pack(0))
        self._waiting += self._pack.flush()
        while len(self._waiting) >= FRAME:
            self._frame(last=False)
        self._frame(last=True)

    def _put(self, raw: bytes) -> None:
        self._waiting += self._pack.compress(raw)
        while len(self._waiting) >= FRAME:
            self._frame(last=False)

    def _frame(self, *, last: bool) -> None:
        plain = bytes(self._waiting[:FRAME])
        del self._waiting[:FRAME]
        self._file.write(self._cipher.encrypt(_nonce(self._frames, last=last), plain, None))
        self._frames += 1


class ArchiveReader:
    """Reads entries from a binary file, in order.

    Args:
        ring: Where the master key is looked for.
        passphrase: Asked for when the archive is closed by one.

    Raises:
        InvalidInput: it is no backup (code ``not-a-backup``).
        Conflict: its master key is not there (code ``master-key-missing``).
        Unprocessable: the passphrase is wrong or a part was changed (code ``backup-unreadable``); from any later call too.
    """

    def __init__(self, file: IO[bytes], ring: KeyRing, passphrase: Callable[[], str]) -> None:
        self._file = file
        self.head, raw = _read_head(file)
        by: MasterKey | str | None = passphrase() if self.head.kind == "passphrase" else ring.find(self.head.master_key)
        if by is None:
            hint = "Name the file that holds it with --key-file. A backup from before a rotation opens only with the key of its time."
            raise Conflict(
                f"The backup was made under the master key {self.head.master_key}, which is not there.", code="master-key-missing", hint=hint
            )
        self._cipher = _cipher(self.head, raw, by)
        self._unpack = zlib.decompressobj()
        self._ready = bytearray()
        self._ahead = file.read(FRAME + TAG)
        self._frames = 0
        self._is_done = False

    def entries(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the name of each entry and its chunks; chunks that were not read are passed over."""
        while length := self._length(MAX_NAME):
            name = self._take(length).decode(errors="replace")
            chunks = self._chunks()
            yield name, chunks
            for _ in chunks:
                pass
        while not self._is_done or self._unpack.unconsumed_tail:
            self._more()
        if self._ready or not self._unpack.eof or self._unpack.unused_data:
            raise unreadable()

    def _chunks(self) -> Iterator[bytes]:
        while length := self._length(MAX_CHUNK):
            yield self._take(length)

    def _length(self, most: int) -> int:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > most:
            raise unreadable()
        return int(length)

    def _take(self, count: int) -> bytes:
        while len(self._ready) < count:
            self._more()
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def _more(self) -> None:
        from cryptography.exceptions import InvalidTag

        if self._unpack.unconsumed_tail:
            self._ready += self._inflate(self._unpack.unconsumed_tail)
            return
        if self._is_done:
            raise unreadable()
        frame, self._ahead = self._ahead, self._file.read(FRAME + TAG)
        self._is_done = not self._ahead
        try:
            plain = self._cipher.decrypt(_nonce(self._frames, last=self._is_done), frame, None)
        except InvalidTag as error:
            raise unreadable() from error
        self._frames += 1
        self._ready += self._inflate(plain)

    def _inflate(self, raw: bytes) -> bytes:
        try:
            return self._unpack.decompress(raw, FRAME)
        except zlib.error as error:
            raise unreadable() from error


def unreadable() -> Unprocessable:
    """Return the refusal of an archive that does not open."""
    hint = "Check the passphrase; else the file was damaged, cut off or changed: use another backup."
    return Unprocessable("The backup does not open.", code="backup-unreadable", hint=hint)


def _read_head(file: IO[bytes]) -> tuple[Head, bytes]:
    try:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        raw = file.read(min(length, MAX_HEAD))
        return msgspec.json.decode(raw, type=Head), raw
    except (ValueError, struct.error, msgspec.MsgspecError) as error:
        raise InvalidInput("This file is no backup of a hub.", code="not-a-backup", hint="`luminai backup create` makes one.") from error


def _cipher(head: Head, raw: bytes, by: MasterKey | str) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, purpose = bytes.fromhex(head.salt), _PURPOSE + sha256(raw).digest()
    if isinstance(by, str):
        from argon2.low_level import Type, hash_secret_raw

        by = MasterKey(hash_secret_raw(by.encode(), salt, head.passes, head.memory_kib, head.lanes, KEY_BYTES, Type.ID))
    return AESGCM(by.derive(salt, purpose))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])
