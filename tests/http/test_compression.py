"""What goes out compressed, and what never does."""

import asyncio
import gzip
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from home import Home

from luminai.testing import running_hub

PAGES = """
    from litestar import Response, get, post
    from litestar.response import Stream
    from luminai import hookimpl, policy

    LONG = {"words": ["again"] * 400}
    OPEN = policy(anonymous=True)

    async def parts():
        for _ in range(4):
            yield b"again " * 100

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/pages/long", opt=OPEN)
            async def long() -> Response[dict[str, list[str]]]:
                return Response(LONG, headers={"ETag": '"one"'})
            @get("/api/pages/short", opt=OPEN)
            async def short() -> dict[str, str]:
                return {"word": "again"}
            @get("/api/pages/secret", opt=OPEN)
            async def secret() -> Response[dict[str, list[str]]]:
                return Response(LONG, headers={"Cache-Control": "private, no-store"})
            @get("/api/pages/cookie", opt=OPEN)
            async def cookie() -> Response[dict[str, list[str]]]:
                return Response(LONG, headers={"Set-Cookie": "a=b"})
            @get("/api/pages/picture", opt=OPEN)
            async def picture() -> Response[bytes]:
                return Response(b"0" * 5000, media_type="image/png")
            @get("/api/pages/huge", opt=OPEN)
            async def huge() -> dict[str, str]:
                return {"word": "again" * 200_000}
            @get("/api/pages/parts", opt=OPEN)
            async def stream() -> Stream:
                return Stream(parts(), media_type="text/plain")
            @post("/api/pages/long", opt=OPEN, status_code=200)
            async def told() -> dict[str, list[str]]:
                return LONG
            return [long, short, secret, cookie, picture, huge, stream, told]
"""


def answers(plugins: Any, *asked: tuple[str, str, str]) -> list[Any]:
    """Return the answers to method, path, Accept-Encoding."""

    async def main() -> list[Any]:
        async with running_hub("pages", installed=[plugins.make("pages", PAGES)]) as hub:
            client = hub.client()
            return [await client.request(method, f"/api/pages/{path}", headers={"accept-encoding": coding}) for method, path, coding in asked]

    return asyncio.run(main())


@pytest.mark.shows("PX-57b")
@pytest.mark.parametrize("coding", ["gzip", "br, GZIP;q=0.5", "*"])
def test_long_answer__to_who_takes_gzip__is_the_same_in_fewer_bytes(plugins: Any, coding: str) -> None:
    packed, plain, head = answers(plugins, ("GET", "long", coding), ("GET", "long", "br"), ("HEAD", "long", coding))
    assert (packed.headers["content-encoding"], packed.headers["vary"], packed.headers["etag"]) == ("gzip", "accept-encoding", 'W/"one"')
    assert (plain.headers["etag"], head.body) == ('"one"', b"")
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 10
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("coding", ["", "gzip;q=0", "gzip; q=0.000", "identity", "gzipped"])
def test_long_answer__to_who_does_not_take_gzip__stays_as_it_is(plugins: Any, coding: str) -> None:
    (answer,) = answers(plugins, ("GET", "long", coding))
    assert "content-encoding" not in answer.headers
    assert json.loads(answer.body)["words"][0] == "again"


def test_secrets_pictures_streams_and_what_is_short_or_huge__stay_as_they_are(plugins: Any) -> None:
    kinds = ("short", "secret", "cookie", "picture", "huge", "parts", "missing")
    for answer in answers(plugins, *(("GET", kind, "gzip") for kind in kinds), ("POST", "long", "gzip")):
        assert "content-encoding" not in answer.headers


@pytest.mark.shows("PX-57b")
def test_served_hub__gives_its_document_compressed(served: Home) -> None:
    address = urlsplit(served.env["LUMINAI_URL"])
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    bodies = []
    for coding in ("gzip", "identity"):  # on one connection: a wrong length would spoil the second answer
        connection.request("GET", "/api/personas", headers={"Accept-Encoding": coding})
        answer = connection.getresponse()
        body = answer.read()
        bodies.append(gzip.decompress(body) if answer.headers["content-encoding"] == "gzip" else body)
        assert answer.headers["x-request-id"]
        assert (answer.headers["content-encoding"] == "gzip") == (coding == "gzip")
    connection.close()
    assert bodies[0] == bodies[1]
