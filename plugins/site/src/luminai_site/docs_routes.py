"""Documentation: the knowledge base as pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from luminai import NotFound, PluginContext, policy
from luminai_knowledge import Knowledge
from luminai_site.pages import Pages
from luminai_site.rendering import render

Query = Annotated[str, QueryParameter(name="q", max_length=500)]


class NavigationEntry(Struct, frozen=True):
    """A page in the side navigation."""

    title: str
    url: str
    group: str


def docs_handlers(ctx: PluginContext, pages: Pages) -> Sequence[Any]:
    """Return the route handlers."""
    knowledge = ctx.service(Knowledge)

    async def navigation() -> list[NavigationEntry]:
        found = await knowledge.catalogue()
        entries = [NavigationEntry(one.title, one.url, _group(one.url)) for one in found]
        return sorted(entries, key=lambda entry: (entry.group != "", entry.group, entry.url))

    @get("/docs", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def catalogue() -> Response[str]:
        """List all pages."""
        return pages.show("docs_index.html", entries=await navigation())

    @get("/docs/metadata.json", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def metadata() -> list[NavigationEntry]:
        """Return the catalogue as data."""
        return await navigation()

    @get("/docs/search", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def search(words: Query = "") -> Response[str]:
        """Find pages by words."""
        found = await knowledge.search(words, limit=20) if words.strip() else []
        return pages.show("docs_search.html", query=words, passages=found)

    @get("/docs/{path:path}", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def page(path: FromPath[str]) -> Response[str]:
        """Show one page."""
        url = f"/docs/{path.strip('/')}"
        try:
            document = await knowledge.at(url)
        except NotFound:
            return pages.show("missing.html", status=404, path=url)
        entries = await navigation()
        here = next((position for position, entry in enumerate(entries) if entry.url == url), 0)
        previous = entries[here - 1] if here else None
        following = entries[here + 1] if here + 1 < len(entries) else None
        return pages.show(
            "docs_page.html", document=document, rendered=render(document.markdown), entries=entries, url=url, previous=previous, following=following
        )

    @get("/sitemap.xml", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def sitemap(request: Request[Any, Any, Any]) -> Response[str]:
        """List public pages for search engines."""
        base = str(request.base_url).rstrip("/")
        urls = ["/", "/playground", "/docs", "/about", *(entry.url for entry in await navigation())]
        rows = "".join(f"<url><loc>{base}{url}</loc></url>" for url in urls)
        body = f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'
        return Response(body, media_type="application/xml")

    return [catalogue, metadata, search, page, sitemap]


def _group(url: str) -> str:
    parts = url.removeprefix("/docs/").split("/")
    return " › ".join(part.replace("-", " ") for part in parts[:-1])
