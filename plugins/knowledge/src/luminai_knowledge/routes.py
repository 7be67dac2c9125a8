"""HTTP: search, catalogue, documents, indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.params import FromPath, QueryParameter

from luminai import Page, page_cursor, page_limit, policy
from luminai_knowledge.schemas import Document, DocumentEntry, Found, IndexReport
from luminai_knowledge.service import MAX_RESULTS, Knowledge

Query = Annotated[str, QueryParameter(min_length=1, max_length=1_000, description="Words to look for; no syntax.")]
ResultLimit = Annotated[int, QueryParameter(ge=1, le=MAX_RESULTS, description="Passages at most.")]


def routes(knowledge: Knowledge) -> Sequence[Any]:
    """Return the route handlers over ``knowledge``."""

    @get("/api/knowledge/search", opt=policy("knowledge:read", anonymous=True))
    async def search_knowledge(q: Query, limit: ResultLimit = 10) -> Found:
        """Return the passages that fit the query best, and by what they were searched."""
        return await knowledge.find(q, limit)

    @get("/api/knowledge/documents", opt=policy("knowledge:read", anonymous=True))
    async def list_documents(limit: page_limit = 20, cursor: page_cursor = None) -> Page[DocumentEntry]:
        """List the documents by id."""
        found = await knowledge.documents(after=cursor, limit=limit + 1)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/knowledge/documents/{document_id:path}", opt=policy("knowledge:read", anonymous=True))
    async def show_document(document_id: FromPath[str]) -> Document:
        """Return one document with its Markdown."""
        return await knowledge.document(document_id.removeprefix("/"))

    @post("/api/knowledge/reindex", status_code=200, opt=policy("knowledge:manage"))
    async def reindex_knowledge() -> IndexReport:
        """Index what changed. A run of more than 20 seconds goes on in the background: ``complete`` is then false."""
        return await knowledge.reindex()

    return [search_knowledge, list_documents, show_document, reindex_knowledge]
