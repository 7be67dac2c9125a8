"""A conformance level is computed by running, shown in the list, and gone as soon as a file changes."""

from __future__ import annotations

from pathlib import Path

from home import Home

PLUGIN = """
from luminai import Persona, hookimpl


class Plugin:
    @hookimpl
    def routes(self, ctx):
        return []
"""


def test_level__is_shown_until_the_plugin_changes(tmp_path: Path) -> None:
    package = tmp_path / "site" / "luminai_quiet"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(PLUGIN.replace("Persona, ", ""))
    (package / "luminai-plugin.toml").write_text('manifest = 1\nid = "quiet"\ntitle = "Q"\nsummary = "Q."\napi = ">=1.0,<2"\nprovides = ["routes"]\n')
    info = tmp_path / "site" / "luminai_quiet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-quiet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nquiet = luminai_quiet.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    home.env["PYTHONPATH"] = str(tmp_path / "site")

    def level() -> str:
        return str(next(one["conformance"] for one in home.data("plugins", "list", "--available") if one["id"] == "quiet"))

    assert level() == ""
    checked = home.data("plugins", "check", "quiet", "--level", "bronze")
    assert (checked["level"], {rule["outcome"] for rule in checked["rules"]}) == ("bronze", {"passed"})
    assert level() == "bronze"
    (package / "plugin.py").write_text(PLUGIN.replace("Persona, ", "") + "\n# changed\n")
    assert level() == ""
