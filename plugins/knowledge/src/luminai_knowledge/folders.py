"""Reading folders of Markdown without leaving them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from luminai_knowledge.config import KnowledgeConfig


class Folder(Struct, frozen=True, kw_only=True):
    """A configured folder. ``name`` is the last part of its path; ``prefix`` is where the documentation site shows its documents."""

    name: str
    root: Path
    prefix: str


class FolderList(Struct, frozen=True):
    """The folders that can be told apart, and by name why another one cannot be used."""

    usable: tuple[Folder, ...]
    refused: dict[str, str]


class Unreadable(Exception):
    """A file or folder cannot be read; the text says why, without absolute paths."""


def folders_of(config: KnowledgeConfig, base: Path) -> FolderList:
    """Return the configured folders: the first one is shown at ``/docs/``, each further one at ``/docs/<name>/``."""
    usable: list[Folder] = []
    refused: dict[str, str] = {}
    for written in config.folders:
        root = base / Path(written).expanduser()
        name = re.sub(r"[^a-z0-9-]+", "-", Path(os.path.normpath(root)).name.lower()).strip("-")
        if not name or any(folder.name == name for folder in usable):
            refused[written] = "its last part names another folder already" if name else "its last part has no letters or digits"
            continue
        usable.append(Folder(name=name, root=root, prefix=f"/docs/{name}/" if usable else "/docs/"))
    return FolderList(tuple(usable), refused)


def document_path(file: str) -> str:
    """Return a file's path below its folder without the suffix ``.md``."""
    return file.removesuffix(".md")


def document_url(folder: Folder, file: str) -> str:
    """Return where the documentation site shows a file."""
    return folder.prefix + quote(document_path(file))


def matcher(globs: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that fully matches what one of the globs matches: ``**`` any depth, ``*`` and ``?`` within one part."""
    return re.compile("|".join(f"(?:{_translated(glob)})" for glob in globs) or r"(?!)")


def _translated(glob: str) -> str:
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(signs.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob))


def walk(root: Path, include: re.Pattern[str], exclude: re.Pattern[str]) -> Iterator[str]:
    """Yield the files below ``root`` that match, as relative POSIX paths in order.

    Hidden folders and files are passed over, linked folders not entered.

    Raises:
        Unreadable: the folder itself cannot be listed.
    """
    try:
        os.scandir(root).close()
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be read") from error
    for place, folders, files in os.walk(root):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        below = Path(place).relative_to(root)
        for file in sorted(files):
            path = (below / file).as_posix()
            if not file.startswith(".") and include.fullmatch(path) and not exclude.fullmatch(path):
                yield path


def read(root: Path, file: str, max_bytes: int) -> bytes:
    """Return a file's content.

    Raises:
        Unreadable: gone, no plain file, too large, no permission, or a symbolic link that leads out of ``root``.
    """
    try:
        real = (root / file).resolve(strict=True)
        if not real.is_relative_to(root.resolve(strict=True)):
            raise Unreadable("a symbolic link that leads out of the folder")
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("not a plain file")
            content = opened.read(max_bytes + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise Unreadable(getattr(error, "strerror", None) or "cannot be opened") from error
    if len(content) > max_bytes:
        raise Unreadable(f"larger than {max_bytes} bytes")
    return content
