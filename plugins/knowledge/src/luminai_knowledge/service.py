"""The face of the knowledge base."""

from __future__ import annotations

import asyncio
import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from luminai import HubError, NotFound, PluginContext
from luminai_knowledge.config import KnowledgeConfig
from luminai_knowledge.folders import folders_of
from luminai_knowledge.fusion import reciprocal_ranks
from luminai_knowledge.indexer import Indexer
from luminai_knowledge.language import Analyser, sentences
from luminai_knowledge.meaning import MEANING_POINT, MeaningIndex, NearPassages, PassageText, passage_text
from luminai_knowledge.models import documents, passages
from luminai_knowledge.schemas import Description, Document, DocumentEntry, FolderState, Found, IndexReport, Passage, Section
from luminai_knowledge.search import index_for, inverse_frequency

MAX_QUERY_STEMS: Final = 64
MAX_RANKED_STEMS: Final = 16
MAX_RESULTS: Final = 50
SNIPPET: Final = 240
START_SECONDS: Final = 5.0
MEANING_SECONDS: Final = 3.0
_ENTRY: Final = (documents.c.id, documents.c.title, documents.c.folder, documents.c.path, documents.c.url, documents.c.tags)


class Knowledge:
    """Search and reading over the indexed folders.

    Attributes:
        analyser: Makes stems as the index does.
    """

    def __init__(self, ctx: PluginContext) -> None:
        config: KnowledgeConfig = ctx.config
        self._ctx = ctx
        self._folders = folders_of(config, ctx.base_dir)
        self.analyser = Analyser(config.language)
        self._indexer = Indexer(ctx, self.analyser)

    async def start(self) -> None:
        """Index what changed; a long run goes on in the background, a failed one leaves the index as it was."""
        try:
            await self._indexer.refresh(wait=START_SECONDS)
        except HubError as error:
            self._ctx.log.warning("knowledge.index.failed", extra={"plugin": self._ctx.id, "reason": error.detail})

    async def reindex(self, *, wait: float = 20.0) -> IndexReport:
        """Index what changed since the last run. Raises as ``Indexer.refresh``."""
        return await self._indexer.refresh(wait=wait)

    async def search(self, query: str, limit: int = 10) -> list[Passage]:
        """Return what ``find`` finds."""
        return (await self.find(query, limit)).items

    async def find(self, query: str, limit: int = 10) -> Found:
        """Return up to ``limit`` (at most 50) passages that hold a word of ``query`` or, where another plugin can tell, are near it in meaning; best
        first. No part of ``query`` is syntax.

        Of a long query the 64 most frequent words are looked up, and the 16 rarest of them in the index searched for.
        """
        stems = await self._ctx.run_sync(self._query_stems, query)
        if limit < 1 or not query.strip():
            return Found(items=[])
        near, missing = await self._near(query)
        depth = MAX_RESULTS if near else min(limit, MAX_RESULTS)
        dialect = self._ctx.db.dialect

        def unit(session: Session) -> tuple[dict[str, float], list[tuple[Row[Any], float]]]:
            index = index_for(dialect)
            weights = _weights(session, stems, dialect) if stems else {}
            rarest = dict(sorted(weights.items(), key=lambda item: -item[1])[:MAX_RANKED_STEMS])
            scores = index.ranked(session, rarest, depth) if rarest else []
            if near:
                meant = _of_digests(session, near.digests)
                scores = reciprocal_ranks(([one for one, _ in scores], meant))[: min(limit, MAX_RESULTS)]
            columns = (documents.c.title, documents.c.url, *passages.c)
            found = select(*columns).join(documents, documents.c.id == passages.c.document_id)
            rows = {row.id: row for row in session.execute(found.where(passages.c.id.in_([one for one, _ in scores])))}
            return weights, [(rows[one], score) for one, score in scores if one in rows]

        weights, rows = await self._ctx.db.read(unit)
        items = await self._ctx.run_sync(self._passages, rows, weights)
        return Found(items=items, method="words+meaning" if near else "words", model=near.model if near else "", missing=missing)

    async def passage_texts(self, *, after: int = 0, limit: int = 500) -> list[tuple[int, PassageText]]:
        """Return ``limit`` passages behind the number ``after`` with their numbers, for an index of meanings; two may say the same."""
        columns = (documents.c.title, passages.c.id, passages.c.headings, passages.c.text, passages.c.code)
        query = select(*columns).join(documents, documents.c.id == passages.c.document_id).where(passages.c.id > after)
        rows = await self._ctx.db.read(lambda session: session.execute(query.order_by(passages.c.id).limit(limit)).all())
        return [(row.id, passage_text(row.title, row.headings, row.text, row.code)) for row in rows]

    async def held(self, digests: Collection[str]) -> set[str]:
        """Return those of up to 1,000 digests that a passage has."""
        query = select(passages.c.digest).where(passages.c.digest.in_(digests)).distinct()
        return set(await self._ctx.db.read(lambda session: session.scalars(query).all()))

    async def weights(self, stems: Iterable[str]) -> dict[str, float]:
        """Return the inverse document frequency of those stems that occur in the knowledge base (see ``inverse_frequency``)."""
        wanted, dialect = list(dict.fromkeys(stems))[:MAX_QUERY_STEMS], self._ctx.db.dialect
        return await self._ctx.db.read(lambda session: _weights(session, wanted, dialect)) if wanted else {}

    async def document(self, document_id: str) -> Document:
        """Return a document by id.

        Raises:
            NotFound: there is none (code ``knowledge.document-not-found``); the hint names the nearest.
        """
        found = await self._one(select(documents).where(documents.c.id == document_id))
        if found is not None:
            return found
        near = await self._ctx.db.read(lambda session: session.scalars(_close_ids(document_id)).all())
        close = difflib.get_close_matches(document_id[:200], near, n=1)
        hint = f"Did you mean {close[0]}?" if close else "`luminai docs list` shows every id."
        raise NotFound("There is no such document.", code="knowledge.document-not-found", hint=hint)

    async def at(self, url: str) -> Document:
        """Return the document that the documentation site shows at ``url`` (path only, percent-encoded or not, e.g. ``/docs/tutorials/first-hub``).

        Raises:
            NotFound: there is none (code ``knowledge.document-not-found``).
        """
        encoded = quote(unquote(url))
        order = [folder.name for folder in self._folders.usable]
        rows = await self._ctx.db.read(lambda session: session.execute(select(documents).where(documents.c.url == encoded).limit(16)).all())
        shown = [row for row in rows if row.folder in order]
        if not shown:
            raise NotFound("There is no such page.", code="knowledge.document-not-found", hint="/docs lists every page.")
        return _document(min(shown, key=lambda row: order.index(row.folder)))

    async def catalogue(self, limit: int = 20_000) -> list[DocumentEntry]:
        """Return the first ``limit`` documents by folder and path."""
        query: Select[Any] = select(*_ENTRY).order_by(documents.c.folder, documents.c.path).limit(limit)
        return [_entry(row) for row in await self._ctx.db.read(lambda session: session.execute(query).all())]

    async def documents(self, *, after: str | None, limit: int) -> list[DocumentEntry]:
        """Return ``limit`` documents by id, those with an id above ``after``."""
        query: Select[Any] = select(*_ENTRY).order_by(documents.c.id).limit(limit)
        if after is not None:
            query = query.where(documents.c.id > after)
        return [_entry(row) for row in await self._ctx.db.read(lambda session: session.execute(query).all())]

    async def describe(self) -> Description:
        """Return what is indexed and what is wrong."""

        def unit(session: Session) -> tuple[dict[str, int], int]:
            by_folder = session.execute(select(documents.c.folder, func.count()).group_by(documents.c.folder)).all()
            total: int = session.execute(select(func.count()).select_from(passages)).scalar_one()
            return {folder: count for folder, count in by_folder}, total  # noqa: C416 - rows are no pairs to mypy

        counts, total = await self._ctx.db.read(unit)
        state = self._indexer.state
        folders = [
            FolderState(name=folder.name, documents=counts.get(folder.name, 0), problem=state.folder_problems.get(folder.name, ""))
            for folder in self._folders.usable
        ] + [FolderState(name=written, problem=reason) for written, reason in self._folders.refused.items()]
        return Description(
            documents=sum(counts.values()),
            passages=total,
            folders=tuple(folders),
            problems=state.problems,
            problem_count=state.problem_count,
            indexing=self._indexer.running,
            failure=state.failure,
        )

    async def _near(self, query: str) -> tuple[NearPassages | None, str]:
        """Return what is near in meaning, and the code of why that cannot be told."""
        indexes: Sequence[MeaningIndex] = self._ctx.extensions(MEANING_POINT)
        if not indexes:
            return None, ""
        try:
            async with asyncio.timeout(MEANING_SECONDS):
                return await indexes[0].nearest(query, MAX_RESULTS), ""
        except HubError as error:
            return None, error.code
        except TimeoutError:
            return None, "deadline-exceeded"
        except Exception:
            self._ctx.log.exception("knowledge.meaning.failed", extra={"plugin": self._ctx.id})
            return None, "internal"

    async def _one(self, query: Select[Any]) -> Document | None:
        row = await self._ctx.db.read(lambda session: session.execute(query).first())
        return None if row is None else _document(row)

    def _query_stems(self, query: str) -> list[str]:
        return [stem for stem, _ in Counter(self.analyser.stems(query)).most_common(MAX_QUERY_STEMS)]

    def _passages(self, rows: list[tuple[Row[Any], float]], weights: Mapping[str, float]) -> list[Passage]:
        return [
            Passage(
                document_id=row.document_id,
                title=row.title,
                headings=tuple(row.headings),
                anchor=row.anchor,
                url=f"{row.url}#{row.anchor}" if row.anchor else row.url,
                text=row.text,
                code=row.code,
                snippet=self._snippet(row.text or row.code, weights),
                score=score,
            )
            for row, score in rows
        ]

    def _snippet(self, body: str, weights: Mapping[str, float]) -> str:
        candidates = sentences(body)
        if not candidates:
            return ""

        def weight(sentence: str) -> float:
            return sum(weights.get(stem, 0.0) for stem in set(self.analyser.stems(sentence)))

        best = max(candidates, key=weight)
        return best if len(best) <= SNIPPET else f"{best[: SNIPPET - 1].rpartition(' ')[0] or best[: SNIPPET - 1]}…"


def _weights(session: Session, stems: list[str], dialect: str) -> dict[str, float]:
    total = session.execute(select(func.count()).select_from(passages)).scalar_one()
    held = index_for(dialect).frequencies(session, stems)
    return {stem: inverse_frequency(total, held[stem]) for stem in stems if stem in held}


def _of_digests(session: Session, digests: Sequence[str]) -> list[int]:
    """Return the passages that have the digests, in the order of these."""
    rows = session.execute(select(passages.c.id, passages.c.digest).where(passages.c.digest.in_(digests)).order_by(passages.c.id))
    place = {digest: at for at, digest in enumerate(digests)}
    return [row.id for row in sorted(rows, key=lambda row: place[row.digest])]


def _close_ids(document_id: str) -> Select[tuple[str]]:
    """Return ids with the same kind or the same last part: those that a slip of the pen means."""
    kind, _, name = document_id.partition(":")
    last = name.rpartition("/")[2]
    same = documents.c.id.startswith(f"{kind}:", autoescape=True) | documents.c.id.endswith(last or kind, autoescape=True)
    return select(documents.c.id).where(same).order_by(documents.c.id).limit(500)


def _entry(row: Row[Any]) -> DocumentEntry:
    return DocumentEntry(id=row.id, title=row.title, folder=row.folder, path=row.path, url=row.url, tags=tuple(row.tags))


def _document(row: Row[Any]) -> Document:
    return Document(
        id=row.id,
        title=row.title,
        folder=row.folder,
        path=row.path,
        url=row.url,
        tags=tuple(row.tags),
        markdown=row.markdown,
        text=row.text,
        sections=tuple(Section(**section) for section in row.sections),
        indexed_at=row.indexed_at,
    )
