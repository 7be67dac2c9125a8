"""The knowledge base in a running hub, on both databases."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import click
import pytest
from click.testing import CliRunner

from luminai import Conflict, NotFound
from luminai.testing import postgres, running_hub
from luminai_knowledge import Knowledge
from luminai_knowledge.commands import docs

SERVER = "postgresql://postgres@127.0.0.1:5432"
PAGES = {
    "index.md": "# Welcome\n\nThis is the hub.\n",
    "explanation/generations.md": "# Generations\n\nA generation is an immutable snapshot of the running plugins.\n\n## Swap\n\n"
    "A failed build leaves the last good one serving.\n\n```sh\nluminai plugins enable chat\n```\n",
    "axioms/boundaryless.md": "---\nid: axiom:boundaryless\ntags: [axiom]\n---\n# Boundaryless\n\nNo edge divides the field.\n",
    "été.md": "# L'été\n\nLa résonance d'été.\n",
}


def write(folder: Path, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request):
    if request.param == "sqlite":
        yield ""
        return
    name = f"knowledge_{uuid.uuid4().hex}"
    try:
        asyncio.run(postgres.make(SERVER, name))
    except (OSError, asyncpg.PostgresError) as error:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no PostgreSQL at {SERVER}: {error}")
    yield f"{SERVER}/{name}"
    asyncio.run(postgres.drop_soon(SERVER, name))


@asynccontextmanager
async def hub_over(folder: Path, url: str = "", **config):
    async with running_hub("knowledge", config={"knowledge": config}, folder=folder, database_url=url) as hub:
        assert hub.state("knowledge") == "enabled"
        yield hub


def knowledge_of(hub) -> Knowledge:
    return hub.hub.generation.wiring.services.find("knowledge", Knowledge)


async def health_of(hub) -> tuple[str, str]:
    (loaded,) = hub.hub.generation.plugins
    (check,) = loaded.contributions["health_checks"]
    found = await check.check()
    return found.state, found.reason


@pytest.mark.shows("LR-81a", "LR-91")
def test_search__question__best_passage_first_with_its_place(tmp_path, database_url):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path, database_url) as hub:
            answer = await hub.client().request("GET", "/api/knowledge/search", query={"q": "What is a generation?", "limit": 3})
            assert answer.status == 200
            best = answer.json()["items"][0]
            assert (best["document_id"], best["url"]) == ("docs:explanation/generations", "/docs/explanation/generations#generations")
            assert best["snippet"] == "A generation is an immutable snapshot of the running plugins."
            scores = [item["score"] for item in answer.json()["items"]]
            assert scores == sorted(scores, reverse=True)
            code = await knowledge_of(hub).search("enable chat")
            assert (code[0].anchor, code[0].code) == ("swap", "luminai plugins enable chat")
            assert (await knowledge_of(hub).search("RESONANCE ete"))[0].url == "/docs/%C3%A9t%C3%A9#lété"

    asyncio.run(main())


def test_search__word_in_a_heading__outweighs_the_body(tmp_path, database_url):
    async def main():
        filler = " ".join(["other"] * 12)
        pages = {"a.md": f"# Body\n\nThe quokka appears here. {filler}\n", "b.md": f"# Quokka\n\nAbout it. {filler}\n"}
        write(tmp_path / "docs", pages | {f"n{n}.md": f"# N{n}\n\n{filler}\n" for n in range(6)})
        async with hub_over(tmp_path, database_url) as hub:
            assert [found.document_id for found in await knowledge_of(hub).search("quokka")] == ["docs:b", "docs:a"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "query", ["", "   ", "?!", '"', "NEAR(a b)", "a* AND NOT heading:b", "'); DROP TABLE knowledge__documents --", "\x00", "a & !b | 'c", "\ud800x"]
)
def test_search__syntax_or_nothing__is_only_words(tmp_path, database_url, query):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path, database_url) as hub:
            assert isinstance(await knowledge_of(hub).search(query), list)
            assert (await knowledge_of(hub).describe()).documents == len(PAGES)

    asyncio.run(main())


def test_search__both_databases__find_the_same_passages(tmp_path, database_url):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path, database_url) as hub:
            found = await knowledge_of(hub).search("the field of a snapshot, enable l'été good", 50)
            assert {(passage.document_id, passage.anchor) for passage in found} == {
                ("docs:explanation/generations", "generations"),
                ("docs:explanation/generations", "swap"),
                ("axiom:boundaryless", "boundaryless"),
                ("docs:été", "lété"),
                ("docs:index", "welcome"),
            }

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "status"), [({}, 400), ({"q": ""}, 400), ({"q": "x" * 1001}, 400), ({"q": "x", "limit": 51}, 400), ({"q": "x"}, 200)]
)
def test_search_route__bounds__are_kept(tmp_path, query, status):
    async def main():
        async with hub_over(tmp_path) as hub:
            assert (await hub.client().request("GET", "/api/knowledge/search", query=query)).status == status

    asyncio.run(main())


@pytest.mark.shows("LR-81b")
def test_documents__paged_and_by_id__are_whole(tmp_path, database_url):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path, database_url) as hub:
            client, ids, cursor = hub.client(), [], ""
            while cursor is not None:
                query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
                page = (await client.request("GET", "/api/knowledge/documents", query=query)).json()
                ids += [item["id"] for item in page["items"]]
                cursor = page["next_cursor"]
            assert sorted(ids) == sorted(["axiom:boundaryless", "docs:explanation/generations", "docs:index", "docs:été"])
            one = (await client.request("GET", "/api/knowledge/documents/axiom:boundaryless")).json()
            assert (one["title"], one["tags"], one["url"]) == ("Boundaryless", ["axiom"], "/docs/axioms/boundaryless")
            assert one["markdown"].startswith("# Boundaryless")
            lost = await client.request("GET", "/api/knowledge/documents/axiom:boundryless")
            assert (lost.status, lost.json()["code"]) == (404, "knowledge.document-not-found")
            assert "axiom:boundaryless" in lost.json()["hint"]
            knowledge = knowledge_of(hub)
            assert [entry.path for entry in await knowledge.catalogue()] == ["axioms/boundaryless", "explanation/generations", "index", "été"]
            assert (await knowledge.at("/docs/axioms/boundaryless")).id == "axiom:boundaryless"
            for url in ("/docs/été", "/docs/%C3%A9t%C3%A9"):
                assert (await knowledge.at(url)).id == "docs:été"
            assert len(await knowledge.catalogue(limit=2)) == 2
            with pytest.raises(NotFound):
                await knowledge.at("/docs/nothing")

    asyncio.run(main())


def test_reindex__changed_removed_and_new__only_those_are_touched(tmp_path, database_url):
    async def main():
        folder = tmp_path / "docs"
        write(folder, PAGES)
        async with hub_over(tmp_path, database_url) as hub:
            client = hub.client("knowledge:manage")
            before = {entry.id: (await knowledge_of(hub).document(entry.id)).indexed_at for entry in await knowledge_of(hub).catalogue()}
            write(folder, {"index.md": "# Welcome\n\nA quokka lives here.\n", "new.md": "# New\n"})
            (folder / "été.md").unlink()
            (folder / "axioms").rename(folder / "moved")
            report = (await client.request("POST", "/api/knowledge/reindex")).json()
            assert report == {"added": 2, "updated": 1, "removed": 2, "unchanged": 1, "problems": 0, "complete": True}
            knowledge = knowledge_of(hub)
            assert (await knowledge.document("docs:explanation/generations")).indexed_at == before["docs:explanation/generations"]
            assert (await knowledge.document("axiom:boundaryless")).path == "moved/boundaryless"
            assert [found.document_id for found in await knowledge.search("quokka")] == ["docs:index"]
            assert await knowledge.search("résonance") == []
            assert (await client.request("POST", "/api/knowledge/reindex")).json()["unchanged"] == 4
        async with hub_over(tmp_path, database_url) as hub:
            assert (await knowledge_of(hub).document("docs:explanation/generations")).indexed_at == before["docs:explanation/generations"]

    asyncio.run(main())


def test_reindex__without_the_scope__is_refused(tmp_path):
    async def main():
        async with hub_over(tmp_path) as hub:
            assert (await hub.client().request("POST", "/api/knowledge/reindex")).status == 401
            assert (await hub.client("knowledge:read").request("POST", "/api/knowledge/reindex")).status == 403

    asyncio.run(main())


def test_reindex__while_one_runs__is_a_conflict(tmp_path):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path) as hub:
            first = asyncio.create_task(knowledge_of(hub).reindex())
            await asyncio.sleep(0)
            with pytest.raises(Conflict) as refused:
                await knowledge_of(hub).reindex()
            assert refused.value.code == "knowledge.indexing"
            assert (await first).complete

    asyncio.run(main())


def test_reindex__no_time_to_wait__goes_on_in_the_background(tmp_path):
    async def main():
        async with hub_over(tmp_path) as hub:
            write(tmp_path / "docs", PAGES)
            assert not (await knowledge_of(hub).reindex(wait=0)).complete
            assert (await knowledge_of(hub).describe()).indexing
            await knowledge_of(hub)._indexer._running
            assert (await knowledge_of(hub).describe()).documents == len(PAGES)

    asyncio.run(main())


def test_start__two_hubs_on_one_postgresql__index_each_file_once(tmp_path, database_url):
    if not database_url:
        pytest.skip("one process per SQLite file")

    async def main():
        write(tmp_path / "docs", PAGES | {f"p{n}.md": f"# P{n}\n\nText {n}.\n" for n in range(80)})
        async with hub_over(tmp_path, database_url) as hub:
            await knowledge_of(hub).describe()
            other = tmp_path / "other"
            write(other / "docs", PAGES | {f"p{n}.md": f"# P{n}\n\nOther text {n}.\n" for n in range(80)})
            (other / "docs" / "index.md").unlink()
            async with hub_over(other, database_url) as second:
                write(tmp_path / "docs", {f"p{n}.md": f"# P{n}\n\nNewest {n}.\n" for n in range(80)})
                await asyncio.gather(knowledge_of(hub).reindex(), knowledge_of(second).reindex())
                found = await knowledge_of(hub).describe()
                assert found.documents in (83, 84)
                assert not found.failure

    asyncio.run(main())


def test_bad_files__are_reported_and_never_fail_the_start(tmp_path, database_url):
    async def main():
        folder = tmp_path / "docs"
        write(folder, PAGES)
        outside = tmp_path / "secret.md"
        outside.write_text("# Secret\n\nquokka\n")
        (folder / "latin.md").write_bytes(b"# caf\xe9\n")
        (folder / "large.md").write_text("x" * 3000)
        (folder / "link.md").symlink_to(outside)
        (folder / "inside.md").symlink_to(folder / "index.md")
        (folder / "loop.md").symlink_to(folder / "loop.md")
        (folder / "linked").symlink_to(tmp_path)
        (folder / ".hidden").mkdir()
        (folder / ".hidden" / "h.md").write_text("quokka")
        os.mkfifo(folder / "pipe.md")
        (folder / "twin.md").write_text("---\nid: axiom:boundaryless\n---\n# Twin\n")
        (folder / os.fsdecode(b"bad\xff.md")).write_text("quokka")
        (folder / "nul.md").write_text("# Nul\n\na\x00b\n")
        async with hub_over(tmp_path, database_url, **{"max-file-bytes": 1024, "folders": ["docs", "missing", "x/docs"]}) as hub:
            found = await knowledge_of(hub).describe()
            reasons = {problem.file: problem.reason for problem in found.problems}
            assert reasons == {
                "docs/latin.md": "not UTF-8",
                "docs/large.md": "larger than 1024 bytes",
                "docs/link.md": "a symbolic link that leads out of the folder",
                "docs/loop.md": reasons["docs/loop.md"],
                "docs/pipe.md": "not a plain file",
                "docs/bad?.md": "its name is not printable UTF-8",
                "docs/axioms/boundaryless.md": "another file has the id axiom:boundaryless",
            }
            assert found.problem_count == 7
            assert await knowledge_of(hub).search("quokka") == []
            assert (await knowledge_of(hub).document("axiom:boundaryless")).title == "Twin"
            assert (await knowledge_of(hub).document("docs:axioms/boundaryless")).title == "Boundaryless"
            assert [(folder.name, bool(folder.problem)) for folder in found.folders] == [("docs", False), ("missing", True), ("x/docs", True)]
            state, reason = await health_of(hub)
            assert (state, "missing" in reason) == ("degraded", True)
            assert str(tmp_path) not in str(found)

    asyncio.run(main())


def test_folder__gone_and_back__documents_follow(tmp_path):
    async def main():
        write(tmp_path / "docs", PAGES)
        async with hub_over(tmp_path) as hub:
            assert (await health_of(hub)) == ("ok", f"{len(PAGES)} documents")
            (tmp_path / "docs").rename(tmp_path / "away")
            assert (await knowledge_of(hub).reindex()).removed == len(PAGES)
            assert (await health_of(hub))[0] == "degraded"
            assert await knowledge_of(hub).search("generation") == []
            (tmp_path / "away").rename(tmp_path / "docs")
            assert (await knowledge_of(hub).reindex()).added == len(PAGES)

    asyncio.run(main())


def test_folders__second_one__has_its_name_in_the_url(tmp_path):
    async def main():
        write(tmp_path / "docs", PAGES)
        write(tmp_path / "notes", {"a b.md": "# Quokka\n", "drafts/x.md": "# Draft\n"})
        async with hub_over(tmp_path, folders=["docs", "notes"], exclude=["drafts/**"]) as hub:
            (found,) = await knowledge_of(hub).search("quokka")
            assert (found.document_id, found.url) == ("notes:a b", "/docs/notes/a%20b#quokka")
            assert await knowledge_of(hub).search("draft") == []

    asyncio.run(main())


def test_many_files__more_than_allowed__first_ones_are_kept_and_it_is_said(tmp_path):
    async def main():
        write(tmp_path / "docs", {f"p{n:03}.md": f"# P{n}\n" for n in range(150)})
        async with hub_over(tmp_path, **{"max-files": 130}) as hub:
            found = await knowledge_of(hub).describe()
            assert found.documents == 130
            assert "more than 130 files" in found.folders[0].problem

    asyncio.run(main())


class Pipe:
    """A terminal that is a pipe, in front of a hub over ``folder``."""

    is_tty = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = None
        self.said = ""
        self.written = ""

    def request(self, method, path, *, body=None, query=None, offline=False):
        async def main():
            async with hub_over(self.folder) as hub:
                answer = await hub.client().request(method, path, json=body, query=query)
                if answer.status >= 400:
                    raise click.ClickException(answer.json()["code"])
                return answer.json()

        assert offline
        return asyncio.run(main())

    def emit(self, data, *, columns=()):
        assert all(set(columns) <= set(item) for item in (data if isinstance(data, list) else ()))
        self.data = data

    def say(self, text):
        self.said = text

    def write(self, text):
        self.written = text


@pytest.mark.shows("LR-81a", "LR-81b")
def test_command__search_show_and_list__answer_through_the_hub(tmp_path):
    write(tmp_path / "docs", PAGES)

    def run(*arguments, is_tty=False):
        terminal = Pipe(tmp_path)
        terminal.is_tty = is_tty
        result = CliRunner().invoke(docs, arguments, obj=terminal)
        return result, terminal

    assert run("search", "what", "is", "a", "generation")[1].data[0]["document_id"] == "docs:explanation/generations"
    assert run("search", "zzz")[1].said == "Nothing found."
    assert run("show", "axiom:boundaryless")[1].data["title"] == "Boundaryless"
    assert run("show", "axiom:boundaryless", is_tty=True)[1].written == "# Boundaryless\n\nNo edge divides the field.\n"
    assert run("show", "docs:été")[1].data["title"] == "L'été"
    assert run("show", "docs:none")[0].exit_code == 1
    assert [item["id"] for item in run("list", "--limit", "2")[1].data] == ["axiom:boundaryless", "docs:explanation/generations"]


def test_command__import__stays_clear_of_server_and_database():
    check = (
        "import sys, luminai_knowledge.commands; print([m for m in ('litestar', 'sqlalchemy', 'markdown_it', 'snowballstemmer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_own_documentation__every_page__is_indexed_without_problems(tmp_path):
    own = Path(__file__).parents[3] / "docs"

    async def main():
        (tmp_path / "docs").symlink_to(own)
        async with hub_over(tmp_path) as hub:
            found = await knowledge_of(hub).describe()
            assert found.documents == len(
                [path for path in own.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(own).parts)]
            )
            assert found.problems == ()

    asyncio.run(main())


def test_migrations__applied__give_the_tables_of_the_models(tmp_path, database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from luminai_knowledge.models import metadata

    def ours(_object, name, kind, _reflected, _compared):
        return kind != "table" or name in metadata.tables

    def difference(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"include_object": ours}), metadata)

    async def main():
        async with hub_over(tmp_path, database_url) as hub:
            assert await hub.hub.database.migrate(difference) == []

    asyncio.run(main())
