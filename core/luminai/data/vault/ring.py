"""The master keys: those of the variable ``LUMINAI_MASTER_KEY``, or of a file that its owner alone can read."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hmac
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luminai.contracts.errors import ConfigRejected, Conflict, Unprocessable

if TYPE_CHECKING:
    from luminai.config.layers import Configuration

VARIABLE: Final = "LUMINAI_MASTER_KEY"
FILE_NAME: Final = "master.key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
MAX_KEYS: Final = 8
FADE_SECONDS: Final = 60.0
"""How long a key that left the source still opens in this process: as long as a unit may run that began before."""
_HEAD: Final = "# Master keys of a LuminAI Hub, the one in use first. Without them nothing sealed can be read. Keep a copy apart from the data.\n"


class MasterKey:
    """A key-encryption key. ``id`` is computed from it, so that the database can tell whether it is the right one without holding it."""

    __slots__ = ("_cipher", "_secret", "id")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher: Any = None
        self.id = hmac.new(secret, b"luminai master key id", sha256).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"

    @property
    def line(self) -> str:
        """The key as base64url."""
        return base64.urlsafe_b64encode(self._secret).decode().rstrip("=")

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        """Return a data key encrypted; ``bound`` says whose it is."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + bytes(self._aes().encrypt(nonce, key, bound))

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """Return the data key.

        Raises:
            cryptography.exceptions.InvalidTag: it was changed, is another's, or was wrapped by another key.
        """
        return bytes(self._aes().decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound))

    def derive(self, salt: bytes, purpose: bytes) -> bytes:
        """Return a key of 32 bytes for another purpose (HKDF-SHA-256, RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(self._secret)

    def _aes(self) -> Any:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._secret)
        return self._cipher


class KeyRing:
    """The master keys that this process has; safe to use from any thread.

    Args:
        path: The file; it may be missing.
        given: Text of the variable: keys separated by commas, the one to use first. "" to use the file.
    """

    def __init__(self, path: Path, given: str = "") -> None:
        self.path = path
        self.is_file = not given
        self._keys: dict[str, MasterKey] = {} if self.is_file else _parse(given.split(","), VARIABLE)
        self._fading: dict[str, tuple[MasterKey, float]] = {}
        self._seen: tuple[int, ...] = ()
        self._lock = threading.Lock()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, in the order of the source."""
        return tuple(self._keys)

    def find(self, key_id: str) -> MasterKey | None:
        """Return a key; one that the process does not know yet is looked for in the file, for another process may have changed it."""
        known = self._known(key_id)
        if known is None and self.reload():
            known = self._known(key_id)
        return known

    def reload(self) -> bool:
        """Read the file again if it changed; tell whether it did.

        Raises:
            ConfigRejected: others can read it (code ``key-file-readable``), or it holds no keys (code ``master-key-malformed``).
        """
        if not self.is_file:
            return False
        with self._lock:
            try:
                found = self.path.stat()
            except FileNotFoundError:
                return False
            seen = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
            if seen == self._seen:
                return False
            if stat.S_IMODE(found.st_mode) & 0o077:
                hint = f"Run: chmod 600 {self.path}"
                raise ConfigRejected(f"Others can read the key file {self.path.name}.", code="key-file-readable", hint=hint)
            self._put(_parse(_lines(self.path), self.path.name))
            self._seen = seen
            return True

    def forget(self) -> None:
        """Drop keys that left the source a while ago."""
        now = time.monotonic()
        self._fading = {one: (key, until) for one, (key, until) in self._fading.items() if until > now}

    def make(self) -> MasterKey:
        """Make a key in a new file of mode 0600 in a folder of mode 0700.

        Raises:
            Conflict: there is a file already (code ``key-file-exists``).
        """
        key = MasterKey(secrets.token_bytes(KEY_BYTES))
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Conflict(f"There is a key file {self.path.name} already.", code="key-file-exists") from error
        _write(handle, [key])
        _sync(self.path.parent)
        self.reload()
        return key

    def add_next(self) -> MasterKey:
        """Put a new key at the head of the file: the hub moves to it.

        Raises:
            Unprocessable: the keys come from the variable (code ``master-key-from-environment``).
        """
        if not self.is_file:
            hint = f"Set {VARIABLE} to `<new>,<old>` and start the hub again; when `luminai vault status` shows one key in use, take the old one out."
            raise Unprocessable("The master key comes from the environment.", code="master-key-from-environment", hint=hint)
        key = MasterKey(secrets.token_bytes(KEY_BYTES))
        with self._alone():
            self._replace([key, *self._keys.values()])
        return key

    def drop(self, key_ids: Sequence[str]) -> None:
        """Take keys out of the file; those of the variable stay until the operator takes them out."""
        if self.is_file and any(one in self._keys for one in key_ids):
            with self._alone():
                if left := [key for one, key in self._keys.items() if one not in key_ids]:
                    self._replace(left)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Change the file as it is now: nobody else does meanwhile, so that no key that another process put in is ever lost."""
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.reload()
            yield

    def _known(self, key_id: str) -> MasterKey | None:
        return self._keys.get(key_id) or self._fading.get(key_id, (None,))[0]

    def _put(self, keys: dict[str, MasterKey]) -> None:
        until = time.monotonic() + FADE_SECONDS
        self._fading |= {one: (key, until) for one, key in self._keys.items() if one not in keys}
        self._keys = keys

    def _replace(self, keys: Sequence[MasterKey]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        _write(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), keys)
        partial.replace(self.path)
        _sync(self.path.parent)
        self.reload()


def ring_of(config: Configuration, environ: Mapping[str, str] | None = None) -> KeyRing:
    """Return the ring that configuration and environment name, read.

    Raises:
        ConfigRejected: as ``KeyRing.reload``.
    """
    named = config.settings.vault.key_file
    path = (config.base_dir / named).resolve() if named else config.data_dir / "keys" / FILE_NAME
    ring = KeyRing(path, (os.environ if environ is None else environ).get(VARIABLE, "").strip())
    ring.reload()
    return ring


def _parse(lines: Sequence[str], source: str) -> dict[str, MasterKey]:
    found: dict[str, MasterKey] = {}
    for line in lines:
        try:
            raw = base64.b64decode(line.strip() + "=" * (-len(line.strip()) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != KEY_BYTES:
            raise ConfigRejected(
                f"{source} holds something that is no master key.",
                code="master-key-malformed",
                hint="A master key is 32 random bytes as base64url, 43 characters.",
            )
        key = MasterKey(raw)
        found[key.id] = key
    if not 1 <= len(found) <= MAX_KEYS:
        raise ConfigRejected(f"{source} holds {len(found)} master keys, 1 to {MAX_KEYS} are allowed.", code="master-key-malformed")
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigRejected(f"The key file {path.name} cannot be read.", code="master-key-malformed", hint="Restore it from its copy.") from error
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _write(handle: int, keys: Sequence[MasterKey]) -> None:
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(_HEAD + "".join(f"{key.line}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a name durable: without it a power cut may take the file that the data depends on."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
