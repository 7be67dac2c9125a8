"""Paid work from its hold to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from paid_work import Till, studio


def on_till(plugins: Any, folder: Path, work: Callable[[Till], Awaitable[Any]], **more: Any) -> Any:
    async def main() -> Any:
        async with studio(plugins, folder, **more) as till:
            return await work(till)

    return asyncio.run(main())


@pytest.mark.shows("LK-06", "LK-47", "LK-30", "LK-D3")
def test_work__held_and_settled__charges_once_and_shows_what_is_in_progress(plugins: Any, tmp_path: Path) -> None:
    async def work(till: Till) -> None:
        await till.give(25)
        assert await till.work("hold", "one") == {"free": False, "grows_by": []}
        assert await till.has() == (15, 10)
        await till.work("settle", "one")
        await till.work("settle", "one")
        assert await till.has() == (15, 0)
        (row,) = await till.usage()
        assert (row["state"], row["amount"], row["funding"]) == ("settled", 10, "credits")

    on_till(plugins, tmp_path, work)
