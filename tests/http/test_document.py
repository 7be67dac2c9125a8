"""The OpenAPI document says what the hub takes and refuses, whatever a plugin's author wrote."""

import asyncio
from typing import Any

from luminai.testing import running_hub

CODE = """
    from typing import Annotated, Any
    from litestar import get, post
    from litestar.params import JSONBody
    from msgspec import Meta, Struct
    from litestar.response import Stream
    from luminai import Streaming, hookimpl, policy

    class Inner(Struct, frozen=True, forbid_unknown_fields=True):
        marks: Annotated[dict[Annotated[str, Meta(max_length=40)], float], Meta(max_length=20)] = {}

    class Outer(Struct, forbid_unknown_fields=True):
        text: str
        number: int = 0
        inner: Inner = Inner()

    class Seen(Struct):
        number: int

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            return [*self.first(), *self.second()]

        def first(self):
            @post("/api/paper/one", opt=policy("paper:write"), status_code=200)
            async def write(data: JSONBody[Outer]) -> Seen:
                return Seen(data.number)
            return [write]

        def second(self):
            @get("/api/paper/two", opt=policy(anonymous=True), status_code=204)
            async def look() -> None: ...

            @get("/api/paper/news", opt=policy(stream=True), media_type="text/plain")
            async def news() -> Stream:
                return Stream(iter(()), media_type="text/event-stream")

            @post("/api/paper/asked", opt=policy(), status_code=200, operation_class=Streaming)
            async def asked() -> Seen:
                return Seen(1)
            return [look, news, asked]
"""


def document(plugins: Any) -> dict[str, Any]:
    async def main() -> Any:
        paper = plugins.make("paper", CODE, manifest='scopes = { "paper:write" = "Write." }')
        async with running_hub("paper", installed=[paper]) as hub:
            return (await hub.client().request("GET", "/openapi.json")).json()

    found: dict[str, Any] = asyncio.run(main())
    return found


def test_document__stands_whatever_default_an_author_sets(plugins: Any) -> None:
    found = document(plugins)
    names = [operation["operationId"] for path in found["paths"].values() for operation in path.values()]
    assert {"paper.write", "paper.look"} <= set(names)
    assert found["components"]["schemas"]["paper.Outer"]["properties"]["inner"]["default"] == {"marks": {}}
    assert len(names) == len(set(names))


def test_schema_of_a_body__has_every_bound(plugins: Any) -> None:
    schemas = document(plugins)["components"]["schemas"]
    outer, inner = schemas["paper.Outer"], schemas["paper.Inner"]
    assert outer["additionalProperties"] is False
    assert outer["required"] == ["text"]
    assert outer["properties"]["text"]["maxLength"] == 65_536
    assert (outer["properties"]["number"]["minimum"], outer["properties"]["number"]["maximum"]) == (1 - 2**53, 2**53 - 1)
    assert inner["properties"]["marks"]["maxProperties"] == 20
    assert inner["properties"]["marks"]["propertyNames"] == {"maxLength": 40}
    assert "maximum" not in schemas["paper.Seen"]["properties"]["number"], "what the hub sends has the author's bounds only"


def test_operation__says_how_it_is_refused(plugins: Any) -> None:
    found = document(plugins)
    written, read = found["paths"]["/api/paper/one"]["post"], found["paths"]["/api/paper/two"]["get"]
    for operation in (written, read):
        assert {"400", "401", "403", "404", "405", "408", "409", "413", "414", "415", "421", "422", "429", "431", "503", "5XX"} <= set(
            operation["responses"]
        )
        assert "default" not in operation["responses"], "it would make every answer right"
    assert written["security"] == [{"api_key": []}]
    assert "content" not in read["responses"]["204"]
    named = {reference["$ref"].rpartition("/")[2] for status, reference in written["responses"].items() if status != "200"}
    assert named == set(found["components"]["responses"])
    problem = found["components"]["responses"]["Conflict"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert problem.rpartition("/")[2] in found["components"]["schemas"]


def test_answer__that_streams_is_told_so(plugins: Any) -> None:
    paths = document(plugins)["paths"]
    followed, asked = (
        paths[path][method]["responses"]["200"]["content"] for path, method in (("/api/paper/news", "get"), ("/api/paper/asked", "post"))
    )
    assert set(followed) == {"text/event-stream"}
    assert set(asked) == {"application/json", "text/event-stream"}
    assert "type" not in asked["text/event-stream"]["schema"], "an event is no text, and some readers judge events by it"
