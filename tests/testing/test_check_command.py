"""``luminai plugins check`` as a person or CI runs it."""

from __future__ import annotations

import json


def test_check__level_reached__is_computed_and_ends_with_zero(alone) -> None:
    done = alone.run("plugins", "check", "personas", "--level", "bronze", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["plugin"], found["level"]) == ("personas", "bronze")
    assert found.keys() == {"plugin", "version", "hub", "level", "rules"}
    assert [rule["id"] for rule in found["rules"]] == [f"B{number:02}" for number in range(1, 13)]
    assert {rule["outcome"] for rule in found["rules"]} == {"passed"}


def test_check__level_missed__ends_with_eight_and_says_why(alone) -> None:
    (alone.folder / "bad.toml").write_text("default = 7\n")
    done = alone.run("plugins", "check", "personas", "--level", "bronze", "--settings", "bad.toml", "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["level"]) == (8, "none")
    assert "config" in next(rule["detail"] for rule in found["rules"] if rule["id"] == "B07")


def test_check__unknown_plugin__is_not_found(alone) -> None:
    assert alone.refusal("plugins", "check", "no-such") == (3, "plugin-not-found")


def test_check__on_a_terminal__shows_a_table_and_the_level(alone) -> None:
    done = alone.run("--output", "table", "plugins", "check", "personas", "--level", "bronze")

    assert "B01 The manifest is valid" in done.stdout
    assert done.stdout.strip().endswith(": bronze")


def test_check__package_that_the_plugin_needs_is_missing__says_what_to_install(alone) -> None:
    done = alone.run("plugins", "check", "engine-saq", "--level", "bronze", "--json")

    found = {rule["id"]: rule for rule in json.loads(done.stdout)["rules"]}
    assert (found["B07"]["outcome"], found["B07"]["detail"]) == ("skipped", "SAQ is not installed. pip install 'luminai-engine-saq[saq]'")
    assert [id_ for id_, rule in found.items() if rule["outcome"] == "failed"] == []
