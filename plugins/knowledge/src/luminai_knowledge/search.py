"""The search index: FTS5 on SQLite, tsvector on PostgreSQL. Both hold the stems of ``Analyser``, so they find the same passages.

Headings weigh four times as much as the body. SQLite ranks by BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009);
PostgreSQL by the sum of ``ts_rank`` of each term times the term's inverse document frequency, which its own ranking lacks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from sqlalchemy import ARRAY, Float, Integer, Text, bindparam, text
from sqlalchemy.orm import Session

HEADING_WEIGHT: Final = 4.0
_MAX_POSITIONS: Final = 255
_LAST_POSITION: Final = 16_383


class IndexedStems(Struct, frozen=True):
    """Stems of one passage."""

    passage_id: int
    heading: list[str]
    body: list[str]


class SearchIndex(Protocol):
    """What both databases do within a unit of work. Stems are letters and digits only."""

    def add(self, session: Session, rows: Sequence[IndexedStems]) -> None: ...

    def remove(self, session: Session, passage_ids: Sequence[int]) -> None: ...

    def frequencies(self, session: Session, stems: Collection[str]) -> dict[str, int]:
        """Return in how many passages each stem occurs, those that occur nowhere left out."""
        ...

    def ranked(self, session: Session, weights: Mapping[str, float], limit: int) -> list[tuple[int, float]]:
        """Return the ids of the best passages that hold at least one of the stems, with their scores, best first."""
        ...


def index_for(dialect: str) -> SearchIndex:
    """Return the index of a database."""
    return SQLiteIndex() if dialect == "sqlite" else PostgresIndex()


def inverse_frequency(passages: int, holding: int) -> float:
    """Return the weight of a term that ``holding`` of ``passages`` passages hold: ln(1 + (N - n + 0.5) / (n + 0.5)), always above 0."""
    return math.log(1 + (max(passages, holding) - holding + 0.5) / (holding + 0.5))


class SQLiteIndex:
    """FTS5."""

    def add(self, session: Session, rows: Sequence[IndexedStems]) -> None:
        """Add passages."""
        statement = text("INSERT INTO knowledge__search (rowid, heading, body) VALUES (:id, :heading, :body)")
        values = [{"id": row.passage_id, "heading": " ".join(row.heading), "body": " ".join(row.body)} for row in rows]
        if values:
            session.execute(statement, values)

    def remove(self, session: Session, passage_ids: Sequence[int]) -> None:
        """Take passages out."""
        if passage_ids:
            session.execute(text("DELETE FROM knowledge__search WHERE rowid = :id"), [{"id": one} for one in passage_ids])

    def frequencies(self, session: Session, stems: Collection[str]) -> dict[str, int]:
        """Look the stems up in the vocabulary."""
        query = text("SELECT term, doc FROM knowledge__vocabulary WHERE term IN :stems").bindparams(bindparam("stems", expanding=True))
        return {row.term: row.doc for row in session.execute(query, {"stems": list(stems)})}

    def ranked(self, session: Session, weights: Mapping[str, float], limit: int) -> list[tuple[int, float]]:
        """Rank by BM25; it weighs the terms itself."""
        query = text(
            "SELECT rowid AS id, -bm25(knowledge__search, :heading, 1.0) AS score FROM knowledge__search"
            " WHERE knowledge__search MATCH :query ORDER BY score DESC, id LIMIT :limit"
        )
        match = " OR ".join(f'"{stem}"' for stem in weights)
        rows = session.execute(query, {"heading": HEADING_WEIGHT, "query": match, "limit": limit})
        return [(row.id, row.score) for row in rows]


class PostgresIndex:
    """A tsvector with a GIN index."""

    def add(self, session: Session, rows: Sequence[IndexedStems]) -> None:
        """Add passages."""
        statement = text("INSERT INTO knowledge__search (passage_id, vector) VALUES (:id, CAST(CAST(:vector AS text) AS tsvector))")
        values = [{"id": row.passage_id, "vector": _vector(row)} for row in rows]
        if values:
            session.execute(statement, values)

    def remove(self, session: Session, passage_ids: Sequence[int]) -> None:
        """Take passages out."""
        statement = text("DELETE FROM knowledge__search WHERE passage_id = ANY(:ids)").bindparams(bindparam("ids", type_=ARRAY(Integer)))
        session.execute(statement, {"ids": list(passage_ids)})

    def frequencies(self, session: Session, stems: Collection[str]) -> dict[str, int]:
        """Count by the GIN index."""
        query = text(
            "SELECT term, (SELECT count(*) FROM knowledge__search WHERE vector @@ CAST(quote_literal(term) AS tsquery)) AS holding"
            " FROM unnest(:stems) AS term"
        ).bindparams(bindparam("stems", type_=ARRAY(Text)))
        return {row.term: row.holding for row in session.execute(query, {"stems": list(stems)}) if row.holding}

    def ranked(self, session: Session, weights: Mapping[str, float], limit: int) -> list[tuple[int, float]]:
        """Rank by weighted ``ts_rank``, long passages counting less (normalization 1)."""
        query = text(
            "SELECT passage_id AS id, (SELECT sum(asked.weight * ts_rank(CAST(:classes AS real[]), vector, asked.term, 1))"
            " FROM (SELECT CAST(quote_literal(term) AS tsquery) AS term, weight "
            "FROM unnest(:stems, :weights) AS t(term, weight)) AS asked)"
            " AS score FROM knowledge__search WHERE vector @@ CAST(CAST(:query AS text) AS tsquery) ORDER BY score DESC, id LIMIT :limit"
        ).bindparams(bindparam("classes", type_=ARRAY(Float)), bindparam("stems", type_=ARRAY(Text)), bindparam("weights", type_=ARRAY(Float)))
        body = 1 / HEADING_WEIGHT
        values: dict[str, Any] = {
            "classes": [body, body, body, 1.0],
            "stems": list(weights),
            "weights": list(weights.values()),
            "query": " | ".join(f"'{stem}'" for stem in weights),
            "limit": limit,
        }
        return [(row.id, row.score) for row in session.execute(query, values)]


def _vector(row: IndexedStems) -> str:
    """Return a tsvector literal: headings have class A, the body class D."""
    positions: dict[str, list[str]] = {}
    for at, (stem, mark) in enumerate(_marked(row), start=1):
        places = positions.setdefault(stem, [])
        if len(places) < _MAX_POSITIONS:
            places.append(f"{min(at, _LAST_POSITION)}{mark}")
    return " ".join(f"'{stem}':{','.join(places)}" for stem, places in positions.items())


def _marked(row: IndexedStems) -> Iterable[tuple[str, str]]:
    yield from ((stem, "A") for stem in row.heading)
    yield from ((stem, "") for stem in row.body)
