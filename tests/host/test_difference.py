"""What breaks from one version of a plugin to another: settings keyword by keyword, manifests, wheels; and the order with its reasons."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from home import Home

from luminai.config.settings import PluginSettings
from luminai.contracts.manifest import Manifest
from luminai.host.difference import Side, compare
from luminai.host.explain_order import explain_order, left_out
from luminai.host.plan import make_plan
from luminai.host.settings_difference import compare_settings

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def settings(word: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"word": word}, "required": list(required), **more}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (settings(TEXT), settings(NUMBER), "values of the old type may be refused"),
        (settings(TEXT), settings(TEXT, "word"), "it must be set now"),
        (
            settings({"type": "array", "items": TEXT}),
            settings({"type": "array", "items": NUMBER}),
            "in its items: values of the old type may be refused",
        ),
        (
            settings({"type": "object", "additionalProperties": TEXT}),
            settings({"type": "object", "additionalProperties": TEXT | {"maxLength": 3}}),
            "in its values: maxLength fell",
        ),
        (
            settings({"anyOf": [{"$ref": "#/$defs/X"}, {"type": "null"}]}, **{"$defs": {"X": TEXT}}),
            settings({"anyOf": [{"$ref": "#/$defs/X"}, {"type": "null"}]}, **{"$defs": {"X": NUMBER}}),
            "values of the old type may be refused",
        ),
        (settings({"enum": ["a", "b"]}), settings({"enum": ["a", "c"]}), "a value was taken away"),
        (settings(TEXT), settings(TEXT | {"enum": ["a"]}), "a value was taken away"),
        (settings({"const": 1}), settings({"const": 2}), "the const changed"),
        (settings(TEXT), settings(TEXT | {"pattern": "^a"}), "the pattern changed"),
        (settings(NUMBER | {"minimum": 1}), settings(NUMBER | {"minimum": 2}), "minimum rose"),
        (settings(NUMBER), settings(NUMBER | {"multipleOf": 2}), "the multipleOf changed"),
        (settings({"type": "object"}), settings({"type": "object", "additionalProperties": False}), "the additionalProperties changed"),
    ],
)
def test_setting__that_may_refuse_what_was_right__breaks(before: dict[str, Any], after: dict[str, Any], reason: str) -> None:
    (change,) = compare_settings(before, after)
    assert (change.name, change.breaks, change.reason) == ("word", True, reason)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (settings(NUMBER), settings({"type": "number"}), "every value of before is still right"),
        (settings(NUMBER), settings({"type": ["integer", "null"]}), "every value of before is still right"),
        (settings({"anyOf": [TEXT]}), settings({"anyOf": [TEXT, NUMBER]}), "every value of before is still right"),
        (settings({"enum": ["a"]}), settings({"enum": ["a", "b"]}), "every value of before is still right"),
        (settings(TEXT | {"maxLength": 3}), settings(TEXT | {"maxLength": 9}), "every value of before is still right"),
        (settings(TEXT | {"maxLength": 3}), settings(TEXT), "every value of before is still right"),
        (settings(TEXT | {"default": "a"}), settings(TEXT | {"default": "b"}), "its default changed"),
    ],
)
def test_setting__that_admits_all_of_before__is_compatible(before: dict[str, Any], after: dict[str, Any], reason: str) -> None:
    (change,) = compare_settings(before, after)
    assert (change.breaks, change.reason) == (False, reason)


def test_setting__inside_optional_table__need_not_be_set() -> None:
    table = {"type": "object", "properties": {"key": TEXT}, "required": ["key"]}
    (change,) = compare_settings({"type": "object"}, {"type": "object", "properties": {"mail": table}})
    assert (change.name, change.breaks) == ("mail.key", False)
    (change,) = compare_settings({"type": "object"}, {"type": "object", "properties": {"mail": table}, "required": ["mail"]})
    assert (change.name, change.breaks) == ("mail.key", True)


def test_setting__only_texts_differ__is_no_change() -> None:
    assert compare_settings(settings(TEXT | {"description": "a"}), settings(TEXT | {"description": "b"})) == []


def test_settings__that_hold_themselves__come_to_an_end() -> None:
    tree = {"type": "object", "properties": {"below": {"$ref": "#/$defs/Tree"}}}
    schema = {**tree, "$defs": {"Tree": tree}}
    assert compare_settings(schema, schema) == []


def manifest(**fields: Any) -> Side:
    known = {"manifest": 1, "id": "oracle", "title": "O", "summary": "O.", "api": ">=1.0,<2"}
    return Side(manifest=Manifest(**(known | fields)), schema={})


@pytest.mark.parametrize(
    ("before", "after", "impact"),
    [
        ({}, {"api": ">=1.9,<2"}, "breaking"),
        ({}, {"api": ">=1.0,<3"}, "compatible"),
        ({"requires": {"seer": ">=1"}}, {"requires": {"seer": "*"}}, "compatible"),
        ({"requires": {"seer": "*"}}, {"requires": {"seer": ">=2"}}, "breaking"),
        ({"tables": True}, {}, "breaking"),
        ({}, {"after": ("seer",)}, "compatible"),
        ({}, {"network": ("api.example.org",)}, "breaking"),
        ({"grants": ("secrets",)}, {}, "compatible"),
        ({"provides": ("event_types",)}, {}, "breaking"),
    ],
)
def test_manifest__each_change__has_impact_and_reason(before: dict[str, Any], after: dict[str, Any], impact: str) -> None:
    (change,) = compare(manifest(**before), manifest(**after))
    assert change.impact == impact
    assert change.reason


MANIFEST = 'manifest = 1\nid = "oracle"\ntitle = "O"\nsummary = "O."\napi = ">=1.0,<2"\n'
TRAP = "raise SystemExit('plugin code ran')\n"


def test_diff__wheel_against_folder__runs_no_plugin_code(alone: Home, tmp_path: Path) -> None:
    folder = tmp_path / "luminai_oracle"
    folder.mkdir()
    (folder / "__init__.py").write_text(TRAP)
    (folder / "luminai-plugin.toml").write_text(MANIFEST)
    wheel = tmp_path / "luminai_oracle-2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("luminai_oracle/__init__.py", TRAP)
        archive.writestr("luminai_oracle/luminai-plugin.toml", MANIFEST + "tables = true\n")
    (row,) = alone.data("plugins", "diff", str(folder), str(wheel))
    assert (row["what"], row["impact"], row["reason"]) == ("tables", "compatible", "they are made at the next start")


def test_diff__schema_that_is_no_object__is_refused(alone: Home, tmp_path: Path) -> None:
    (tmp_path / "luminai-plugin.toml").write_text(MANIFEST)
    (tmp_path / "config.schema.json").write_text("[]")
    assert alone.refusal("plugins", "diff", str(tmp_path), str(tmp_path)) == (7, "not-a-plugin")


def test_order__each_reason__names_the_manifest(alone: Home) -> None:
    places = {one["id"]: one["because"] for one in alone.data("plugins", "order")}
    assert "behind personas: its manifest requires it (luminai_chat/luminai-plugin.toml)" in places["chat"]
    assert "behind ai-offline: its manifest says after (luminai_chat/luminai-plugin.toml)" in places["chat"]
    assert not any("(/" in reason for because in places.values() for reason in because)


@pytest.mark.parametrize(
    ("chain", "cycles"),
    [
        ({"aa": ["bb"], "bb": ["aa", "cc"], "cc": ["dd"], "dd": ["aa"]}, ["aa → bb → aa", "cc → dd → aa → bb → cc"]),
        ({"aa": ["bb"], "bb": ["cc"], "cc": ["aa", "bb"]}, ["bb → cc → bb", "aa → bb → cc → aa"]),
    ],
)
def test_order__cycles__are_told_shortest_first(plugins: Any, chain: dict[str, list[str]], cycles: list[str]) -> None:
    chain = chain | {"free": []}
    tables = {name: ", ".join(f'{other} = "*"' for other in others) for name, others in chain.items()}
    made = [plugins.make(name, manifest=f"requires = {{ {table} }}") for name, table in tables.items()]
    settings = {name: PluginSettings(enabled=True, approve=("anonymous-routes",)) for name in chain}
    plan = make_plan(made, settings, desired={}, check_config=lambda _: [])
    assert [place.id for place in explain_order(plan)] == ["free"]
    told = left_out(plan)
    assert [line.removeprefix("each needs the next: ").partition(" (")[0] for line in told] == cycles
    assert "(luminai_aa/luminai-plugin.toml, luminai_bb/luminai-plugin.toml)" in told[0] or "luminai_cc/luminai-plugin.toml" in told[0]
