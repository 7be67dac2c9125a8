"""What the hub refuses to start with: a set-up that gives its data away, or loses it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from luminai.config.layers import Configuration
from luminai.config.settings import ServerSettings
from luminai.contracts.errors import ConfigRejected
from luminai.http.hosts import LOOPBACK

_NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "ceph", "9p", "afs", "ncpfs")
"""File systems whose locks SQLite cannot trust (sqlite.org/useovernet.html)."""
_MOUNTS: Final = Path("/proc/mounts")


def check_start(config: Configuration, *, mounts: Path = _MOUNTS) -> None:
    """Raise if the hub must not be served this way.

    Raises:
        ConfigRejected: it listens beyond this machine in the clear (code ``open-without-tls``), the TLS key can be read by others
            (``key-file-readable``) or is missing (``tls-incomplete``), or SQLite would lie on a network file system (``database-on-network``)
            or have more than this process (``roles-apart``).
    """
    server = config.settings.server
    _check_tls(server, config.base_dir)
    if server.host not in LOOPBACK and not (server.tls_certificate or server.proxies or server.plain_http):
        raise ConfigRejected(
            f"The hub would listen on {server.host} without TLS.",
            code="open-without-tls",
            hint="Set server.tls-certificate and tls-key, server.proxies behind a proxy, or server.plain-http = true on a network you trust.",
        )
    if not config.settings.database.url:
        if set(config.settings.hub.roles) != {"web", "worker"}:
            hint = "Leave hub.roles as it is, or use PostgreSQL (database.url), which any number of processes share."
            raise ConfigRejected("One process has a SQLite file to itself, so it must be both web and worker.", code="roles-apart", hint=hint)
        kind = file_system(config.data_dir, mounts)
        if kind in _NETWORK:
            hint = "Name a local folder in hub.data, or use PostgreSQL: database.url."
            raise ConfigRejected(f"The data folder lies on a network file system ({kind}).", code="database-on-network", hint=hint)


def file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of the file system that ``path`` is or will be on, "" where that cannot be told."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    found = ("", "")
    for line in lines:
        parts = line.split(" ")
        if len(parts) > 2:
            point = parts[1].encode().decode("unicode_escape")
            if path.resolve().is_relative_to(point) and len(point) >= len(found[0]):
                found = (point, parts[2])
    return found[1]


def _check_tls(server: ServerSettings, base: Path) -> None:
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise ConfigRejected("server.tls-certificate and server.tls-key belong together.", code="tls-incomplete", hint="Set both.")
    if server.tls_key:
        for name in (server.tls_certificate, server.tls_key):
            if not (base / name).is_file():
                raise ConfigRejected(f"There is no file {name}.", code="tls-incomplete", hint="Name PEM files, relative to config.toml.")
        if (base / server.tls_key).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise ConfigRejected("The TLS key can be read by others.", code="key-file-readable", hint=f"chmod 600 {server.tls_key}")
