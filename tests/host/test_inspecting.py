"""The inspecting routes give the same data as the commands."""

from __future__ import annotations

import json
import tomllib
from typing import Any
from urllib.parse import parse_qsl

import pytest
from home import Home

from luminai.cli.client import HubClient

PATHS = {
    ("plugins", "hooks"): "/api/admin/plugins/hooks",
    ("plugins", "order"): "/api/admin/plugins/order",
    ("plugins", "doctor"): "/api/admin/plugins/doctor",
    ("plugins", "why", "chat"): "/api/admin/plugins/chat/why",
    ("plugins", "diff", "chat", "personas"): "/api/admin/plugins/diff?before=chat&after=personas",
    ("plugins", "verify"): "/api/admin/plugins/verify",
}


@pytest.mark.parametrize("command", PATHS, ids=" ".join)
def test_command_and_route__say_the_same(served: Home, command: tuple[str, ...]) -> None:
    served.data("plugins", "lock")
    said = json.loads(served.run(*command).stdout)
    key = read_key(served)
    answer = HubClient(served.env["LUMINAI_URL"], key, seconds=30).request("GET", PATHS[command].partition("?")[0], query=query(PATHS[command]))
    assert answer == said


def read_key(home: Home) -> str:
    table = tomllib.loads((home.folder / "user" / "config.toml").read_text())
    return str(next(value for value in walk(table) if str(value).startswith("lum_")))


def walk(value: Any) -> Any:
    if isinstance(value, dict):
        for inner in value.values():
            yield from walk(inner)
    else:
        yield value


def query(path: str) -> dict[str, str] | None:
    return dict(parse_qsl(path.partition("?")[2])) or None
