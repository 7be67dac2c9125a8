"""Landing page, playground, about, and what a browser asks for besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from msgspec import Meta, Struct

from luminai import HubError, PluginContext, client_address, policy
from luminai_chat import Chat, ChatAsk
from luminai_personas import PersonaDirectory
from luminai_site.assets import assets
from luminai_site.config import SiteConfig
from luminai_site.pages import Pages

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


class PlaygroundForm(Struct):
    """What the form sends when there is no JavaScript."""

    message: Annotated[str, Meta(max_length=16_000)] = ""
    persona: Annotated[str, Meta(max_length=60)] = ""


def handlers(ctx: PluginContext, pages: Pages) -> Sequence[Any]:
    """Return the route handlers."""
    config: SiteConfig = ctx.config
    chat, personas = ctx.service(Chat), ctx.service(PersonaDirectory)
    served = {asset.url.rpartition("/")[2]: asset for asset in assets().values()}

    def playground(*, status: int = 200, **values: Any) -> Response[str]:
        known = personas.all()
        return pages.show(
            "playground.html", status=status, personas=known, chosen=values.pop("chosen", personas.default.id), examples=config.examples, **values
        )

    @get("/", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def landing() -> Response[str]:
        """Show what this is."""
        return pages.show("landing.html", R=await chat.global_r(), personas=personas.all())

    @get("/playground", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def show_playground() -> Response[str]:
        """Show the chat preview."""
        return playground()

    @post("/playground", opt=policy(anonymous=True, limit="playground"), include_in_schema=False, status_code=200)
    async def ask(request: Request[Any, Any, Any], data: URLEncodedBody[PlaygroundForm]) -> Response[str]:
        """Answer the form on the page, for browsers without JavaScript."""
        try:
            asked = ChatAsk(message=data.message, persona=data.persona or None)
            answer = await chat.answer(asked, actor=None, address=client_address(request))
        except HubError as error:
            return playground(status=error.status, problem=error, asked=data.message, chosen=data.persona)
        return playground(answer=answer, asked=data.message, chosen=data.persona)

    @get("/about", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def about() -> Response[str]:
        """Say who and why."""
        return pages.show("about.html")

    @get("/static/{name:str}", opt=policy(anonymous=True, limit="address"), include_in_schema=False)
    async def static(name: FromPath[str]) -> Response[Any]:
        """Serve a packaged file by its hashed name."""
        asset = served.get(name)
        if asset is None:
            return pages.show("missing.html", status=404)
        return Response(asset.content, media_type=asset.content_type, headers=IMMUTABLE)

    @get("/favicon.ico", opt=policy(anonymous=True, limit="address"), include_in_schema=False)
    async def favicon() -> Response[bytes]:
        """Serve the icon at its customary address."""
        return Response(assets()["favicon.svg"].content, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})

    @get("/robots.txt", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def robots() -> Response[str]:
        """Tell robots what to leave alone."""
        return Response("User-agent: *\nDisallow: /api/\nDisallow: /account\nSitemap: /sitemap.xml\n", media_type="text/plain")

    @get("/{rest:path}", opt=policy(anonymous=True, limit="website"), include_in_schema=False)
    async def missing(rest: FromPath[str]) -> Response[str]:
        """Say kindly that there is no such page."""
        return pages.show("missing.html", status=404, path=rest)

    return [landing, show_playground, ask, about, static, favicon, robots, missing]
