"""What goes away says who still uses it, where, and what to use instead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luminai import _face
from luminai.host import hooks
from luminai.telemetry import deprecations
from luminai.testing import running_hub


def test_renamed_name__still_works__and_names_plugin_file_and_line(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deprecations.forget()
    monkeypatch.setitem(_face.RENAMED, "Missing", ("NotFound", "2.0"))
    code = """
        import luminai
        from luminai import Missing, hookimpl

        class Plugin:
            @hookimpl
            async def start(self, ctx):
                for _ in range(3):
                    assert luminai.Missing is luminai.NotFound
    """

    async def main() -> Any:
        async with running_hub("older", installed=[plugins.make("older", code, provides="[]")]) as hub:
            assert hub.state("older") == "enabled"
            return (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]

    item = next(item for item in asyncio.run(main()) if item["id"] == "deprecated:older")
    assert item["cause"].endswith(" uses at 2 places.")
    assert item["details"] == [
        "luminai_older/plugin.py:3 luminai.Missing: use luminai.NotFound",
        "luminai_older/plugin.py:9 luminai.Missing: use luminai.NotFound",
    ]
    deprecations.forget()


def test_removed_hook__is_refused_with_what_to_use(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hooks.REMOVED_HOOKS, "cli", ("commands in the manifest", "1.0"))
    code = "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    def cli(self, ctx): return []"

    async def main() -> Any:
        async with running_hub("older", installed=[plugins.make("older", code, provides="[]")]) as hub:
            return next(one for one in hub.hub.report.plugins if one.id == "older").errors

    (problem,) = asyncio.run(main())
    assert (problem.detail, problem.hint) == ("the hook cli was removed in plugin API 1.0", "Use commands in the manifest.")
