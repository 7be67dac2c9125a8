"""Makes plugins on disk for tests: real packages with manifests, found and loaded like any other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from msgspec.structs import replace

from luminai.contracts.manifest import MANIFEST_FILE, SCHEMA_FILE
from luminai.data.owned_statements import owned_tables
from luminai.host.discovery import InstalledPlugin
from luminai.host.manifest import BadManifest, read_manifest

GOOD = """
    from litestar import get
    from luminai import hookimpl, policy

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get(f"/api/{ctx.id}/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, str]:
                return {"from": ctx.id}
            return [hello]
"""
"""A plugin with one route ``/api/<id>/hello``."""


class PluginFactory:
    """Writes packages below a folder that is on ``sys.path``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: set[str] = set()

    def make(
        self,
        plugin_id: str,
        code: str = GOOD,
        *,
        provides: str = '["routes"]',
        manifest: str = "",
        raw_manifest: str | None = None,
        schema: str | None = None,
        files: dict[str, str] | None = None,
        version: str = "1.0",
        distribution: str = "",
    ) -> InstalledPlugin:
        """Write the plugin ``plugin_id`` and return it as discovery would."""
        name = plugin_id.replace("-", "_")
        self.made.add(name)
        package = f"luminai_{name}"
        folder = self.root / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
        (folder / "plugin.py").write_text(dedent(code))
        text = raw_manifest if raw_manifest is not None else _manifest(plugin_id, provides, manifest)
        (folder / MANIFEST_FILE).write_text(text)
        if schema is not None:
            (folder / SCHEMA_FILE).write_text(schema)
        for name, content in (files or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(content))
        importlib.invalidate_caches()
        plugin = InstalledPlugin(
            id=plugin_id,
            distribution=distribution or f"luminai-{plugin_id}",
            version=version,
            entry_point=f"{package}.plugin:Plugin",
            package_dir=str(folder),
        )
        try:
            return replace(plugin, manifest=read_manifest(folder / MANIFEST_FILE, expected_id=plugin_id))
        except BadManifest as error:
            return replace(plugin, problem=error.detail, errors=error.errors)


def _manifest(plugin_id: str, provides: str, more: str) -> str:
    return f"""manifest = 1
id = "{plugin_id}"
title = "{plugin_id.title()}"
summary = "Made by a test."
api = ">=1.0,<2"
provides = {provides}
grants = ["anonymous-routes"]
{dedent(more)}"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a factory; what it made is forgotten at the end."""
    root = tmp_path / "packages"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    before = set(sys.modules)
    factory = PluginFactory(root)
    yield factory
    for name in set(sys.modules) - before:
        if name.startswith("luminai_"):
            del sys.modules[name]
    for table in [table for table in owned_tables if table.partition("__")[0] in factory.made]:
        del owned_tables[table]
