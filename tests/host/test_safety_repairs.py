"""Items about what proves the data; each step names a command that there is."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from luminai.cli.main import luminai as command
from luminai.testing import running_hub


async def items(hub: Any) -> dict[str, Any]:
    found = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
    for step in (step for item in found for step in item["fix"]["steps"]):
        for named in re.findall(r"`luminai ([^`]*)`", step):
            assert_is_command(named.split())
    return {item["id"]: item for item in found}


def assert_is_command(words: list[str]) -> None:
    import click

    here: Any = command
    with click.Context(here) as context:
        while words and isinstance(here, click.Group):
            here = here.get_command(context, words.pop(0))
            assert here is not None


def test_checkpoints__in_the_data_folder_or_on_its_volume__are_told_and_elsewhere_not(tmp_path: Path) -> None:
    async def main() -> list[str]:
        told = []
        for number, (audit, environment) in enumerate(
            [
                ({}, "development"),
                ({"checkpoints": "data/audit/log.txt"}, "development"),
                ({"checkpoints": "data/../data/log.txt"}, "development"),
                ({}, "production"),
                ({"witness-url": "http://127.0.0.1:9/add"}, "production"),
            ]
        ):
            settings = {"audit": audit, "hub": {"environment": environment}}
            async with running_hub(folder=tmp_path / str(number), settings=settings) as hub:
                found = (await items(hub)).get("audit::checkpoints-beside-data")
                told.append(found["cause"] if found else "")
        return told

    inside = "They are in the data folder."
    assert asyncio.run(main()) == ["", inside, inside, "Their file is on the volume of the data folder.", ""]


def test_checkpoints__by_default__lie_beside_the_data_folder(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_hub(folder=tmp_path) as hub:
            await hub.client("*").request("POST", "/api/keys", json={"name": "one", "scopes": ["hub:keys"]})
            await hub.hub.sealer.seal()

    asyncio.run(main())
    assert (tmp_path / "data-checkpoints" / "audit.txt").is_file()
    assert not (tmp_path / "data" / "audit").exists()


def test_core_checks_that_fail__name_commands_that_fit(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_hub("personas", folder=tmp_path, settings={"backup": {"folder": "kept"}}) as hub:
            item = (await items(hub))["health:core:backup"]
            assert "luminai backup create" in item["fix"]["steps"][0]
            assert "config test" not in str(item["fix"])

    asyncio.run(main())
