"""The user's own file: which hub, which key."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

from msgspec import Struct

from luminai.contracts.errors import ConfigRejected

DEFAULT_URL = "http://127.0.0.1:8000"


class Profile(Struct, frozen=True):
    """Where to go and with what key; ``key`` is "" for none."""

    url: str
    key: str = ""


def user_file() -> Path:
    """Return ``~/.luminai/config.toml`` (``LUMINAI_HOME`` names another folder)."""
    return Path(os.environ.get("LUMINAI_HOME") or Path.home() / ".luminai") / "config.toml"


def read_profile(url: str | None) -> Profile:
    """Return the profile in force: option, then environment, then the user's file, then the default address.

    Raises:
        ConfigRejected: the file can be read by others, or is no TOML.
    """
    stored = _stored(os.environ.get("LUMINAI_PROFILE", "default"))
    port = os.environ.get("LUMINAI_PORT")
    local = f"http://127.0.0.1:{port}" if port else DEFAULT_URL
    return Profile(url or os.environ.get("LUMINAI_URL") or stored.url or local, os.environ.get("LUMINAI_API_KEY") or stored.key)


def save_key(url: str, key: str, profile: str = "default") -> Path:
    """Write address and key into the user's file, readable by its owner only; other profiles stay."""
    path = user_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    profiles = _read(path).get("profiles", {}) if path.exists() else {}
    profiles[profile] = {**profiles.get(profile, {}), "url": url, "key": key}
    lines = [
        f'[profiles."{name}"]\n' + "".join(f"{field} = {_quoted(str(value))}\n" for field, value in table.items()) for name, table in profiles.items()
    ]
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines))
    temporary.replace(path)
    return path


def _stored(name: str) -> Profile:
    path = user_file()
    if not path.exists():
        return Profile("")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigRejected(f"{path} can be read by others (mode {mode:o}).", code="profile-mode", hint=f"Run: chmod 600 {path}")
    table = _read(path).get("profiles", {}).get(name, {})
    return Profile(str(table.get("url", "")), str(table.get("key", "")))


def _read(path: Path) -> dict[str, dict[str, dict[str, object]]]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRejected(f"{path} is not TOML: {error}", code="profile-syntax", hint="Correct it, or remove it.") from error


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
