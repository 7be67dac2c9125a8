"""No text with a line break at its end passes a pattern that has none: Python's ``$`` would let it through."""

import ast
import asyncio
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

import luminai
from luminai.contracts.patterns import as_python, as_said, published
from luminai.testing import running_hub

ROOT = Path(__file__).parents[2]
LINE = "\n"
ANCHOR = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|(?P<end>\$)", re.DOTALL)


def has_dollar(pattern: str) -> bool:
    return any(part["end"] for part in ANCHOR.finditer(pattern))


def text_of(node: ast.AST) -> str:
    """Return what a literal says, with nothing for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_source__ends_no_pattern_with_a_dollar() -> None:
    wrong, seen = [], 0
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("plugin_template/**/*.py*")]:
        for node in ast.walk(ast.parse(path.read_text())) if path.suffix == ".py" else ():
            given_as = [word.value for word in node.keywords if word.arg == "pattern"] if isinstance(node, ast.Call) else []
            assigned = [node.value] if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and text_of(node.value).startswith("^") else []
            for literal in given_as + assigned:
                seen += bool(text_of(literal))
                if has_dollar(text_of(literal)):
                    wrong.append(f"{path.relative_to(ROOT)}:{literal.lineno}: write \\Z for $")
    assert wrong == []
    assert seen > 90


def structs() -> list[type[Struct]]:
    """Return every Struct of the hub and its plugins: bodies, inputs of actions, events, settings."""
    packages = [luminai, *(import_module(one.value.partition(".")[0]) for one in entry_points(group="luminai.plugins"))]
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".versions." not in module.name and ".migrations." not in module.name and ".testing" not in module.name:
                import_module(module.name)
    found, names = [Struct], tuple(package.__name__ for package in packages)
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.partition(".")[0] in names]


def patterns_in(node: Any) -> Iterator[str]:
    """Yield the patterns of what ``msgspec.inspect`` or a JSON document says."""
    if isinstance(node, msgspec.inspect.StrType) and node.pattern is not None:
        yield node.pattern
    if isinstance(node, dict) and isinstance(node.get("pattern"), str):
        yield node["pattern"]
    parts = [getattr(node, name) for name in node.__struct_fields__] if isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) else node
    for part in parts.values() if isinstance(parts, dict) else parts if isinstance(parts, list | tuple) else ():
        yield from patterns_in(part)


def fields_of(kind: type[Struct]) -> Iterator[str]:
    try:
        described = msgspec.inspect.type_info(kind)
    except (TypeError, NameError):  # it holds what is never decoded
        return
    yield from patterns_in(described)


@pytest.fixture(scope="module")
def patterns() -> list[str]:
    found = sorted({pattern for kind in structs() for pattern in fields_of(kind)})
    assert len(found) > 40
    return found


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_every_text__is_taken_exactly_where_the_published_schema_takes_it(patterns: list[str], data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(patterns))
    schema = published({"type": "string", "pattern": pattern})
    text = data.draw(st.from_regex(as_python(schema["pattern"])))
    assert re.search(pattern, text)
    assert bool(re.search(pattern, f"{text}\n")) == bool(re.search(as_python(schema["pattern"]), f"{text}\n"))
    assert has_dollar(schema["pattern"])
    assert not has_dollar(pattern)


@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_every_pattern__is_told_as_it_is_published(patterns: list[str], data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(patterns))
    shown = published({"pattern": pattern})["pattern"]
    kind, given_text = Annotated[str, Meta(pattern=pattern)], data.draw(st.text().filter(lambda text: not re.search(pattern, text)))
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given_text, kind)
    assert as_said(str(refused.value)) == f"Expected `str` matching regex `{shown}`"
    with pytest.raises(jsonschema.ValidationError) as unfit:
        jsonschema.validate(given_text, msgspec.json.schema(kind))
    assert as_said(unfit.value.message) == f"{given_text!r} does not match `{shown}`"


def test_text_that_does_not_fit__is_answered_with_the_pattern_of_the_document() -> None:
    async def main() -> tuple[str, str]:
        async with running_hub() as hub:
            answer = await hub.client("*").request("POST", "/api/keys", json={"name": "x", "scopes": ["NO"]})
            document = (await hub.client("*").request("GET", "/openapi.json")).json()
            body = document["components"]["schemas"]["core.NewKeyRequest"]["properties"]["scopes"]["items"]
            return answer.text, body["pattern"]

    said, pattern = asyncio.run(main())

    assert f"`{pattern}`" in msgspec.json.decode(said)["errors"][0]["detail"]
    assert "Z" not in said


@cache
def shortest(pattern: str) -> str:
    """Return the shortest text of a pattern; many parameters have the same."""
    return find(st.from_regex(pattern), bool)


def test_every_query_parameter_with_a_pattern__refuses_a_line_break_at_the_end() -> None:
    async def main() -> int:
        tried = 0
        async with running_hub() as hub:
            client = hub.client("*")
            document = (await client.request("GET", "/openapi.json")).json()
            for path, operations in document["paths"].items():
                for one in operations.get("get", {}).get("parameters", ()):
                    pattern = one.get("schema", {}).get("pattern", "")
                    if one["in"] != "query" or not pattern or re.search(as_python(pattern), "\n"):
                        continue
                    text = shortest(as_python(pattern))
                    place = re.sub(r"\{[^}]*\}", "x", path)
                    answer = await client.request("GET", f"{place}?{urlencode({one['name']: text + LINE})}")
                    assert answer.status in (400, 404), (path, one["name"], text)
                    tried += answer.status == 400
        return tried

    assert asyncio.run(main()) > 15
