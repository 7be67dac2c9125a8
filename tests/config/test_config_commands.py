"""``luminai config``: check, diff, adopt, scaffold, schema, test."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from home import CONFIG, Home, serving
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luminai.config.toml_text import comment, inline, key

ROOT = Path(__file__).parents[2]
OWN = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if folder.is_dir())
REMOTE = """
from typing import Annotated
from msgspec import Meta, Struct
from luminai import ProblemItem, Secret, hookimpl


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="Where to.", min_length=1)]
    weight: Annotated[float, Meta(gt=0)] = 1.0


class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    api_key: Annotated[Secret, Meta(description="The key.\\n[hub]\\nstrict = true")]
    base_url: Annotated[str, Meta(pattern="^https?://", description="Address.")]
    tries: Annotated[int, Meta(ge=1, le=9)] = 3
    keys: dict[str, Secret] = {}
    headers: dict[str, str] = {}
    spare: Target | None = None
    targets: tuple[Target, ...] = ()
    tree: Target = Target(host="deep", weight=2.5)


class Plugin:
    config = Config

    @hookimpl
    async def start(self, ctx):
        raise RuntimeError("start is not for a try")

    @hookimpl
    async def test_config(self, ctx):
        if ctx.config.api_key.reveal() != "right":
            return [ProblemItem(detail="The service refuses the key.", pointer="api-key", hint="Renew it.")]
        return []
"""
SECTION = '[plugins.remote]\nenabled = true\n[plugins.remote.config]\napi-key = "env:REMOTE_KEY"\nbase-url = "https://example.org"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home whose environment also has the plugin ``remote``, which talks to a service."""
    site = tmp_path / "site"
    package = site / "luminai_remote"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(REMOTE)
    (package / "luminai-plugin.toml").write_text('manifest = 1\nid = "remote"\ntitle = "Remote"\nsummary = "A service."\napi = ">=1.0,<2"\n')
    made: dict[str, Any] = {}
    exec(REMOTE, {"__name__": "remote"}, made) if False else None
    info = site / "luminai_remote-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-remote\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nremote = luminai_remote.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    home.env["PYTHONPATH"] = str(site)
    return home
