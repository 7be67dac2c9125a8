"""Plugins hear of an organisation's end before its rows go, and can keep it from ending half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from identity.lives import Town, in_town
from permissions.test_organisations import Person, code, settle

SHELF = """
    from luminai import EraseReport, hookimpl

    class Plugin:
        @hookimpl
        async def erase_organisation(self, ctx, organisation, dry_run):
            if (ctx.data_dir / "stuck").exists():
                raise OSError("the other service is away")
            found = sorted((ctx.data_dir / organisation).glob("*"))
            for path in [] if dry_run else found:
                path.unlink()
            return EraseReport({"shelf files": len(found)} if found else {}, {"ledger": "ten years"})
"""


def shelf(town: Town, organisation: str) -> Path:
    """Put a file of the organisation there and return the plugin's folder."""
    folder = town.hub.hub.data_dir / "plugins" / "shelf"
    (folder / organisation).mkdir(parents=True)
    (folder / organisation / "plan.pdf").write_text("x")
    return Path(folder)


def beside_a_shelf(plugins: Any, work: Any) -> None:
    async def run(town: Town) -> None:
        await work(town, await settle(town, "ann"))

    in_town(run, plugins=plugins, also=[plugins.make("shelf", SHELF, provides="[]")])


def test_organisation__deleted__plugins_remove_what_they_hold_elsewhere(plugins) -> None:
    async def work(town: Town, ann: Person) -> None:
        blue, red = await ann.found("Blue"), await ann.found("Red")
        folder = shelf(town, blue)
        shelf(town, red)
        refused = await ann.ask("DELETE", f"organisations/{blue}")
        assert code(refused) == (409, "organisation-not-empty"), "files count too"
        assert (folder / blue / "plan.pdf").exists()
        done = (await ann.ask("DELETE", f"organisations/{blue}?confirm=true")).json()
        assert (done["rows"], done["kept"], done["left"]) == ({"shelf files": 1}, {"ledger": "ten years"}, {})
        assert not (folder / blue / "plan.pdf").exists()
        assert (folder / red / "plan.pdf").exists()

    beside_a_shelf(plugins, work)


def test_organisation__that_a_plugin_cannot_let_go__stays_whole_until_it_can(plugins) -> None:
    async def work(town: Town, ann: Person) -> None:
        blue = await ann.found("Blue")
        folder = shelf(town, blue)
        (folder / "stuck").touch()
        refused = await ann.ask("DELETE", f"organisations/{blue}?confirm=true")
        assert code(refused) == (409, "organisation-not-erased")
        assert "shelf: its erase_organisation failed: OSError" in refused.json()["detail"]
        assert [one["id"] for one in (await ann.get("organisations"))["items"]] == [blue]
        (folder / "stuck").unlink()
        assert (await ann.ask("DELETE", f"organisations/{blue}?confirm=true")).status == 200

    beside_a_shelf(plugins, work)


def test_organisation__whose_last_member_is_erased__ends_with_what_plugins_hold(plugins) -> None:
    async def work(town: Town, ann: Person) -> None:
        blue = await ann.found("Blue")
        folder = shelf(town, blue)
        done = (await town.operator("POST", f"privacy/{ann.id}/erase", {"confirm": ann.id})).json()
        assert (done["erased"]["shelf files"], done["left"]) == (1, {})
        assert not (folder / blue / "plan.pdf").exists()

    beside_a_shelf(plugins, work)
