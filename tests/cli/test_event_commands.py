"""``luminai events`` and ``luminai endpoints`` against a running hub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from home import Home, serving


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home with a running hub in which something happened."""
    with serving(tmp_path_factory.mktemp("events") / "home") as home:
        assert home.run("chat", "What is a generation?").returncode == 0
        yield home


def test_events__are_listed_shown_counted_and_followed(hub: Home) -> None:
    listed = hub.data("events", "list", "--all", "--type", "chat")
    assert [one["type"] for one in listed] == ["chat.TurnClosed", "chat.TurnOpened"]
    opened = hub.data("events", "show", listed[1]["id"])
    assert opened["payload"]["session_id"].startswith("ses_")
    assert [one["id"] for one in hub.data("events", "list", "--all", "--chain", opened["correlation"])][-1] == opened["id"]
    assert {one["type"]: one["count"] for one in hub.data("events", "count")}["chat.TurnOpened"] == 1
    assert "chat.TurnOpened" in {one["type"] for one in hub.data("events", "types")}
    assert hub.data("events", "subscriptions") == []
    assert hub.refusal("events", "replay", "chat.on-nothing") == (3, "subscription-not-found")
    assert hub.refusal("events", "state", "chat", "energy", "me") == (3, "unknown-aggregate")


def test_endpoints__are_made_rotated_disabled_and_deleted(hub: Home) -> None:
    assert hub.refusal("endpoints", "create", "https://127.0.0.1/", "--type", "chat.TurnClosed")[1] == "private-endpoint"
    made = hub.data("endpoints", "create", "https://hook.invalid/x", "--type", "chat.TurnClosed", "--title", "Mine")
    assert made["secret"].startswith("whsec_")
    assert hub.data("endpoints", "rotate", made["id"])["secret"] != made["secret"]
    assert hub.data("endpoints", "disable", made["id"])["state"] == "disabled"
    assert hub.data("endpoints", "enable", made["id"])["state"] == "active"
    assert hub.data("endpoints", "ping", made["id"])["job"].startswith("job_")
    shown = hub.data("endpoints", "show", made["id"])
    assert (shown["title"], shown["types"], "secret" in shown) == ("Mine", ["chat.TurnClosed"], False)
    assert [one["id"] for one in hub.data("endpoints", "list", "--all")] == [made["id"]]
    assert isinstance(hub.data("endpoints", "log", made["id"]), list)
    event = hub.data("events", "list", "--all", "--type", "chat.TurnOpened")[0]["id"]
    assert hub.refusal("endpoints", "replay", made["id"], event)[1] == "event-not-for-endpoint"
    assert hub.run("endpoints", "delete", made["id"]).returncode == 0
    assert hub.data("endpoints", "list") == []
