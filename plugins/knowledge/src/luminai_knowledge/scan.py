"""One walk over the folders: which files are there, which changed, what is wrong with some. Runs in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from luminai_knowledge.config import KnowledgeConfig
from luminai_knowledge.folders import Folder, Unreadable, document_path, document_url, matcher, read, walk
from luminai_knowledge.language import Analyser
from luminai_knowledge.markdown import MAX_PIECE, Parsed, parse
from luminai_knowledge.schemas import FileProblem

FORMAT: Final = 2
"""Raise it when files must be indexed again although they did not change."""

BATCH_DOCUMENTS: Final = 64
BATCH_PASSAGES: Final = 1_000
MAX_PROBLEMS: Final = 50
MAX_PATH: Final = 240

FileKey = tuple[str, str]
"""A folder's name and a file's path below it."""


class KnownFile(Struct, frozen=True):
    """What the index holds of a file. One with a ``problem`` is read again, in case that its cause went away."""

    document_id: str
    digest: str
    problem: str


class FileStems(Struct, frozen=True):
    """Stems of one piece."""

    heading: list[str]
    body: list[str]


class ChangedFile(Struct, frozen=True, kw_only=True):
    """A file to store anew; ``stems`` belong to ``parsed.pieces`` one by one."""

    folder: str
    file: str
    path: str
    url: str
    digest: str
    parsed: Parsed
    stems: list[FileStems]

    @property
    def own_id(self) -> str:
        """Id by place, whatever the front matter says."""
        return f"{self.folder}:{self.path}"


class Scan:
    """Walks once; ``present``, ``problems`` and ``unreadable`` are whole when ``changes`` is exhausted."""

    def __init__(self, folders: Sequence[Folder], config: KnowledgeConfig, analyser: Analyser) -> None:
        self._folders = folders
        self._config = config
        self._analyser = analyser
        self.present: dict[FileKey, Folder] = {}
        self.unreadable: set[FileKey] = set()
        self.folder_problems: dict[str, str] = {}
        self.problems: list[FileProblem] = []
        self.problem_count = 0

    def find(self) -> None:
        """Find the files; reads none of them."""
        include, exclude = matcher(self._config.include), matcher(self._config.exclude)
        for folder in self._folders:
            try:
                for file in walk(folder.root, include, exclude):
                    if len(self.present) >= self._config.max_files:
                        self.folder_problems[folder.name] = f"more than {self._config.max_files} files: the rest is not indexed"
                        break
                    if reason := _bad_name(file):
                        self.report(folder.name, file, reason)
                    else:
                        self.present[folder.name, file] = folder
            except Unreadable as error:
                self.folder_problems[folder.name] = str(error)

    def changes(self, known: Mapping[FileKey, KnownFile]) -> Iterator[list[ChangedFile]]:
        """Yield changed and new files in batches of bounded size."""
        batch: list[ChangedFile] = []
        passages = 0
        for (name, file), folder in self.present.items():
            changed = self._changed(folder, file, known.get((name, file)))
            if changed is None:
                continue
            batch.append(changed)
            passages += len(changed.stems)
            if len(batch) >= BATCH_DOCUMENTS or passages >= BATCH_PASSAGES:
                yield batch
                batch, passages = [], 0
        if batch:
            yield batch

    def report(self, folder: str, file: str, reason: str) -> None:
        """Note what is wrong with a file; the first ``MAX_PROBLEMS`` are kept, all are counted."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            name = f"{folder}/{file}".encode(errors="replace").decode()
            self.problems.append(FileProblem(name[:300], reason))

    def _changed(self, folder: Folder, file: str, known: KnownFile | None) -> ChangedFile | None:
        try:
            content = read(folder.root, file, self._config.max_file_bytes)
            digest = hashlib.sha256(f"{FORMAT} {self._analyser.language} {folder.prefix}\n".encode() + content).hexdigest()
            if known is not None and known.digest == digest and not known.problem:
                return None
            source = content.decode("utf-8-sig")
        except Unreadable as error:
            self.unreadable.add((folder.name, file))
            self.report(folder.name, file, str(error))
            return None
        except UnicodeDecodeError:
            self.unreadable.add((folder.name, file))
            self.report(folder.name, file, "not UTF-8")
            return None
        path = document_path(file)
        parsed = parse(source, name=path.rpartition("/")[2])
        if parsed.problem:
            self.report(folder.name, file, parsed.problem)
        return ChangedFile(
            folder=folder.name,
            file=file,
            path=path,
            url=document_url(folder, file),
            digest=digest,
            parsed=parsed,
            stems=self._stems(parsed),
        )

    def _stems(self, parsed: Parsed) -> list[FileStems]:
        stems = self._analyser.stems
        found: list[FileStems] = []
        for piece in parsed.pieces:
            heading = " ".join(dict.fromkeys((parsed.title, *piece.headings)))
            found.append(FileStems(stems(heading), stems(f"{piece.text}\n{piece.code[: 4 * MAX_PIECE]}")))
        return found


def _bad_name(file: str) -> str:
    if len(file) > MAX_PATH:
        return f"its path is longer than {MAX_PATH} characters"
    return "" if file.isprintable() else "its name is not printable UTF-8"
