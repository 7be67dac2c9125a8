"""Personas on a running hub."""

import asyncio

import pytest

from luminai.host.discovery import installed_plugins
from luminai.testing import running_hub

OTHER = """
    from luminai import Persona, hookimpl

    class Plugin:
        @hookimpl
        def personas(self):
            return [
                Persona(id="guide", version=7, title="Guide", role="Shows the way.", instructions="Answer.", aliases=("leader",)),
                Persona(id="kaznak", version=1, title="Kaznak", role="Sandbox.", instructions="Answer.", public=False),
            ]
"""


def ask(*paths, config=None, installed=None, more=()):
    async def main():
        async with running_hub("personas", *more, config={"personas": config or {}}, installed=installed) as hub:
            assert hub.state("personas") == "enabled"
            client = hub.client()
            return [await client.request("GET", path) for path in paths]

    return asyncio.run(main())


def test_list__without_a_credential__pages_through_the_five():
    first, second, third = ask("/api/personas?limit=2", "/api/personas?limit=2&cursor=airth", "/api/personas?limit=2&cursor=ely")
    pages = [page.json() for page in (first, second, third)]

    assert [[one["id"] for one in page["items"]] for page in pages] == [["adelphisa", "airth"], ["arcadia", "ely"], ["luminai"]]
    assert [page["next_cursor"] for page in pages] == ["airth", "ely", None]
    assert [one["id"] for page in pages for one in page["items"] if one["is_default"]] == ["ely"]


def test_list__instructions__stay_inside():
    (answer,) = ask("/api/personas")

    assert {"instructions", "voice", "weight"} & {field for one in answer.json()["items"] for field in one} == set()


def test_show__by_alias_in_any_case__is_the_persona():
    (answer,) = ask("/api/personas/Adelphia")

    assert (answer.status, answer.json()["id"], answer.json()["aliases"]) == (200, "adelphisa", ["adelphia"])


@pytest.mark.parametrize(("name", "hint"), [("elly", "Did you mean ely?"), ("%F0%9F%99%82" * 50, "Known: ")])
def test_show__unknown__is_a_problem_with_a_hint(name, hint):
    (answer,) = ask(f"/api/personas/{name}")

    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (answer.status, answer.json()["code"]) == (404, "personas.unknown")
    assert answer.json()["hint"].startswith(hint)


def test_config__default_and_disabled__are_followed():
    listed, gone, by_alias = ask(
        *("/api/personas", "/api/personas/adelphisa", "/api/personas/adelphia"), config={"default": "airth", "disabled": ["adelphisa"]}
    )

    assert [(one["id"], one["is_default"]) for one in listed.json()["items"]] == [
        *(("airth", True), ("arcadia", False)),
        *(("ely", False), ("luminai", False)),
    ]
    assert gone.status == by_alias.status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", f"cursor={'x' * 201}"])
def test_list__bad_page__is_refused(query):
    (answer,) = ask(f"/api/personas?{query}")

    assert (answer.status, answer.json()["code"]) == (400, "invalid-input")


def test_personas_of_another_plugin__are_offered_and_hidden_ones_are_not(plugins):
    other = plugins.make("others", OTHER, provides='["personas"]')
    installed = [*(one for one in installed_plugins() if one.id == "personas"), other]
    listed, alias, hidden = ask("/api/personas", "/api/personas/leader", "/api/personas/kaznak", installed=installed, more=("others",))

    assert "guide" in [one["id"] for one in listed.json()["items"]]
    assert "kaznak" not in [one["id"] for one in listed.json()["items"]]
    assert (alias.json()["id"], alias.json()["version"]) == ("guide", 7)
    assert hidden.status == 404
