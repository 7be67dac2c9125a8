"""Keeps the tables equal to the folders: only what changed is written, in one unit a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from luminai import Conflict, HubError, PluginContext
from luminai_knowledge.config import KnowledgeConfig
from luminai_knowledge.folders import folders_of
from luminai_knowledge.language import Analyser
from luminai_knowledge.meaning import MEANING_POINT, MeaningIndex, passage_text
from luminai_knowledge.models import documents, passages
from luminai_knowledge.scan import ChangedFile, FileKey, KnownFile, Scan
from luminai_knowledge.schemas import FileProblem, IndexReport
from luminai_knowledge.search import IndexedStems, index_for

UNIT_SECONDS: Final = 60.0
GONE_BATCH: Final = 200


class IndexState(Struct, frozen=True, kw_only=True):
    """How the last run went; ``folder_problems`` by folder, ``failure`` when the run itself broke off."""

    folder_problems: dict[str, str] = {}
    problems: tuple[FileProblem, ...] = ()
    problem_count: int = 0
    failure: str = ""


class Indexer:
    """Runs one indexing at a time.

    Args:
        ctx: The plugin's context.
        analyser: The analysis that searching uses too.
    """

    def __init__(self, ctx: PluginContext, analyser: Analyser) -> None:
        self._ctx = ctx
        self._config: KnowledgeConfig = ctx.config
        self._analyser = analyser
        self._running: Awaitable[IndexReport] | None = None
        self.state = IndexState()

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._running is not None

    async def refresh(self, *, wait: float) -> IndexReport:
        """Index what changed and return what that was; after ``wait`` seconds the run goes on in the background.

        Raises:
            Conflict: a run is under way (code ``knowledge.indexing``).
            Unavailable: the database does not take the writes.
        """
        if self._running is not None:
            raise Conflict("The knowledge base is being indexed.", code="knowledge.indexing", hint="Try again when it is done.")
        done: asyncio.Future[IndexReport] = asyncio.ensure_future(self._ctx.spawn(self._run(), name="index"))
        self._running = done
        done.add_done_callback(self._ended)
        finished, _ = await asyncio.wait((done,), timeout=wait)
        return done.result() if finished else IndexReport(complete=False)

    def _ended(self, run: asyncio.Future[IndexReport]) -> None:
        self._running = None
        if not run.cancelled() and (error := run.exception()) is not None:
            reason = str(error) if isinstance(error, HubError) else type(error).__name__
            self.state = IndexState(failure=f"indexing broke off: {reason}")

    async def _run(self) -> IndexReport:
        found = folders_of(self._config, self._ctx.base_dir)
        scan = Scan(found.usable, self._config, self._analyser)
        await self._ctx.run_sync(scan.find)
        known = await self._ctx.db.read(_known)
        removed = await self._remove(known.keys() - scan.present.keys())
        added = updated = 0
        batches: Iterator[list[ChangedFile]] = scan.changes(known)
        while (batch := await self._ctx.run_sync(next, batches, None)) is not None:
            store = partial(_store, batch=batch, dialect=self._ctx.db.dialect, now=self._ctx.clock.now())
            for refused in await self._ctx.db.write(store, timeout=UNIT_SECONDS):
                scan.report(refused.file.partition("/")[0], refused.file.partition("/")[2], refused.reason)
            again = sum((changed.folder, changed.file) in known for changed in batch)
            added, updated = added + len(batch) - again, updated + again
        removed += await self._remove(known.keys() & scan.unreadable)
        self.state = IndexState(folder_problems=scan.folder_problems | found.refused, problems=tuple(scan.problems), problem_count=scan.problem_count)
        if added or updated or removed:
            await self._tell()
        unchanged = len(scan.present) - len(scan.unreadable) - added - updated
        return IndexReport(added=added, updated=updated, removed=removed, unchanged=unchanged, problems=scan.problem_count)

    async def _tell(self) -> None:
        """Tell an index of meanings that there is something to do; what it makes of that is its own affair."""
        indexes: Sequence[MeaningIndex] = self._ctx.extensions(MEANING_POINT)
        for index in indexes:
            try:
                await index.changed()
            except Exception:
                self._ctx.log.exception("knowledge.meaning.failed", extra={"plugin": self._ctx.id})

    async def _remove(self, keys: Iterable[FileKey]) -> int:
        gone = sorted(keys)
        for start in range(0, len(gone), GONE_BATCH):
            part = gone[start : start + GONE_BATCH]
            await self._ctx.db.write(lambda session, part=part: _forget(session, part, self._ctx.db.dialect), timeout=UNIT_SECONDS)  # type: ignore[misc]
        return len(gone)


def _known(session: Session) -> dict[FileKey, KnownFile]:
    columns = documents.c
    rows = session.execute(select(columns.folder, columns.file, columns.id, columns.digest, columns.problem))
    return {(row.folder, row.file): KnownFile(row.id, row.digest, row.problem) for row in rows}


def _forget(session: Session, keys: Sequence[FileKey], dialect: str) -> None:
    _one_writer(session, dialect)
    index = index_for(dialect)
    for folder, file in keys:
        document_id = session.scalar(select(documents.c.id).where(documents.c.folder == folder, documents.c.file == file))
        if document_id is None:
            continue
        ids = session.scalars(select(passages.c.id).where(passages.c.document_id == document_id)).all()
        index.remove(session, ids)
        session.execute(delete(passages).where(passages.c.document_id == document_id))
        session.execute(delete(documents).where(documents.c.id == document_id))


def _store(session: Session, *, batch: Sequence[ChangedFile], dialect: str, now: object) -> list[FileProblem]:
    """Replace the files of a batch; return those whose id another file has."""
    _forget(session, [(changed.folder, changed.file) for changed in batch], dialect)
    refused: list[FileProblem] = []
    for changed in batch:
        parsed = changed.parsed
        taken = set(session.scalars(select(documents.c.id).where(documents.c.id.in_((parsed.id, changed.own_id)))))
        free = [one for one in (parsed.id, changed.own_id) if one and one not in taken]
        problem = parsed.problem
        if (parsed.id or changed.own_id) in taken:
            problem = f"another file has the id {parsed.id or changed.own_id}"
            refused.append(FileProblem(f"{changed.folder}/{changed.file}", problem))
        if not free:
            continue
        row = {
            "id": free[0],
            "folder": changed.folder,
            "file": changed.file,
            "path": changed.path,
            "title": parsed.title,
            "url": changed.url,
            "tags": parsed.tags,
            "markdown": parsed.markdown,
            "text": parsed.text,
            "sections": parsed.sections,
            "digest": changed.digest,
            "problem": problem,
            "indexed_at": now,
        }
        session.execute(insert(documents).values(row))
        _store_passages(session, free[0], changed, dialect)
    return refused


def _store_passages(session: Session, document_id: str, changed: ChangedFile, dialect: str) -> None:
    rows = [
        {
            "document_id": document_id,
            "position": position,
            "headings": piece.headings,
            "anchor": piece.anchor,
            "text": piece.text,
            "code": piece.code,
            "digest": passage_text(changed.parsed.title, piece.headings, piece.text, piece.code).digest,
        }
        for position, piece in enumerate(changed.parsed.pieces)
    ]
    if not rows:
        return
    ids = session.scalars(insert(passages).returning(passages.c.id, sort_by_parameter_order=True), rows).all()
    stems = [IndexedStems(one, found.heading, found.body) for one, found in zip(ids, changed.stems, strict=True)]
    index_for(dialect).add(session, stems)


def _one_writer(session: Session, dialect: str) -> None:
    """Keep two hubs on one PostgreSQL from indexing the same file at once; must be the unit's first statement. SQLite has one writer anyway."""
    if dialect == "postgresql":
        session.execute(text("LOCK TABLE knowledge__documents IN SHARE ROW EXCLUSIVE MODE"))
