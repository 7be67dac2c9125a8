"""The pytest plugin: light to load, its fixtures at work, the conformance rules as tests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from luminai.data.ids import new_id
from luminai.testing import matching, one_matching, running_hub
from luminai.testing.network import NetworkBlocked, guarded
from luminai.testing.seeds import seeded


def run_pytest(folder: Path, code: str = "", *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with only this plugin in a folder of its own, warnings as errors."""
    (folder / "test_it.py").write_text(dedent(code))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "luminai.testing.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers", *options]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_plugin__loaded__brings_nothing_heavy_with_it() -> None:
    heavy = "litestar", "sqlalchemy", "hypothesis", "luminai.host", "luminai.config", "jsonschema"
    code = f"import sys, luminai.testing.pytest_plugin; print([name for name in {heavy} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.luminai("personas")
def test_luminai_hub__marked_plugins__answer(luminai_hub) -> None:
    answer = luminai_hub.request("GET", "/api/personas")

    assert answer.status == 200
    assert luminai_hub.state("personas") == "enabled"


def test_fixtures__in_a_project_of_their_own__work_and_a_real_connection_fails_the_test(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        """
        import asyncio, socket
        import pytest

        @pytest.mark.luminai("personas")
        def test_hub(luminai_hub, network_guard):
            assert luminai_hub.request("GET", "/api/personas").status == 200

        def test_factory(hub_factory, frozen_clock, records):
            async def main():
                async with hub_factory("personas", clock=frozen_clock) as hub:
                    frozen_clock.advance(60)
                    assert hub.hub.clock.now() == frozen_clock.now()
            asyncio.run(main())

        def test_ids(seeded_ids):
            from luminai.data.ids import new_id
            assert new_id("a").startswith("a_019b")

        def test_calls_out(network_guard):
            try:
                socket.create_connection(("api.example.org", 443), timeout=1)
            except OSError:
                pass
        """,
        "-q",
    )

    assert "4 passed, 1 error" in done.stdout, done.stdout
    assert "the test tried to reach api.example.org:443" in done.stdout


def test_network_guard__this_machine__is_let_through() -> None:
    before = (socket.socket.connect, socket.getaddrinfo)
    with guarded() as guard, socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
        with pytest.raises(NetworkBlocked, match=re.escape("192.0.2.1:80")), socket.socket() as one:
            one.connect(("192.0.2.1", 80))
        assert guard.attempts == ["192.0.2.1:80"]
    assert (socket.socket.connect, socket.getaddrinfo) == before


def test_seeded__twice__gives_the_same_ids_in_order_and_leaves_real_ones_behind_them() -> None:
    before = new_id("x")
    with seeded(7):
        first = [new_id("x") for _ in range(5)]
    with seeded(7):
        again = [new_id("x") for _ in range(5)]

    assert first == again == sorted(first)
    assert len({*first, before, new_id("x")}) == 7
    assert new_id("x") > before


def test_records__logs_events_and_problems__are_found(plugins, records) -> None:
    import asyncio

    code = """
        from luminai import Event, EventType, hookimpl
        from msgspec import Struct
        class Started(Struct):
            n: int
        class Plugin:
            @hookimpl
            def event_types(self):
                return [EventType(name="Started", payload=Started)]
            @hookimpl
            async def start(self, ctx):
                ctx.log.info("notes.started", extra={"count": 3})
                await ctx.db.write(lambda session: ctx.db.publish(session, Event(type="notes.Started", payload={"n": 3})))
    """
    good, bad = plugins.make("notes", code, provides='["event_types"]'), plugins.make("bad", "raise ValueError('boom')")

    async def main() -> None:
        async with running_hub("notes", "bad", installed=[good, bad]) as hub:
            assert one_matching(records.logs("notes"), msg="notes.started", count=3).levelname == "INFO"
            assert records.logs("notes", event="notes.started", level="info")
            assert (await records.events(hub, type=re.compile("^notes")))[0].payload == {"n": 3}
            assert one_matching(records.problems(hub), id="bad").phase == "import"
            assert records.problems(hub, reason=lambda text: "boom" in text)
            with pytest.raises(AssertionError, match="0 match"):
                one_matching(records.problems(hub), id="notes")

    asyncio.run(main())


def test_matching__mappings_and_missing_fields() -> None:
    items = [{"a": 1}, {"a": 2, "b": "xyz"}]

    assert matching(items, b=re.compile("y")) == [{"a": 2, "b": "xyz"}]
    assert matching(items, c=1) == []


def test_conformance_option__rules_of_a_level__are_the_tests(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "def test_own(): raise AssertionError", "--luminai-conformance=personas", "--luminai-level=bronze", "-v")

    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout
    assert "B04" in done.stdout


def test_conformance_option__settings_that_do_not_fit__fail_with_reason_and_fix(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('default = "NOT A NAME"\n')
    done = run_pytest(tmp_path, "", "--luminai-conformance=personas", "--luminai-level=bronze", "--luminai-settings=settings.toml", "-q", "-rs")

    assert done.returncode == 1
    assert "B07 It works with every other plugin off" in done.stdout
    assert "Fix: " in done.stdout
    assert "B07 comes first" in done.stdout
