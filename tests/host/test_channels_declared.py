"""Channels that will not do: the plugin is left out with the reason, before anybody could knock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luminai.testing import running_hub

CODE = """
    from msgspec import Struct
    from luminai import Channel, hookimpl
    class Said(Struct):
        text: str
    async def everybody(actor, params):
        return True
    def channel(name="hall", **given):
        return Channel(**{{"name": name, "kinds": {{"said": Said}}, "may_join": everybody, **given}})
    class Plugin:
        @hookimpl
        def channels(self, ctx):
            return [{channels}]
"""
BROKEN = {
    "no-name": ('channel("Hall of {id}")', "is no name of a channel"),
    "no-part": ('channel("hall..x")', "is no name of a channel"),
    "twice": ('channel("hall.{id}.{id}")', "a parameter twice"),
    "both": ('channel("hall.{id}"), channel("hall.lobby")', "could be of hall.{id} and of hall.lobby"),
    "same": ("channel(), channel()", "could be of hall and of hall"),
    "no-kind": ('channel(kinds={"So Said": Said})', "is no kind of message"),
    "own-kind": ('channel(kinds={"gap": Said})', "is no kind of message"),
    "no-struct": ('channel(kinds={"said": dict})', "is no Struct"),
    "too-much": ("channel(history=1001)", "keeps 1001 messages"),
    "too-long": ("channel(keep=90_000)", "for 90000 s"),
    "foreign-scope": ('channel(scope="chat:read")', "needs scope chat:read"),
    "no-channel": ('"hall"', "expected Channel"),
}


@pytest.fixture
def made(plugins: Any) -> list[Any]:
    """Return a plugin for each fault, and one without."""
    every = {**{name: channels for name, (channels, _) in BROKEN.items()}, "good": 'channel("hall.{id}"), channel("hall.{id}.door"), channel("yard")'}
    return [plugins.make(name, CODE.format(channels=channels), provides='["channels"]') for name, channels in every.items()]


def test_channels__that_will_not_do__are_named_and_the_plugin_is_left_out(made: list[Any]) -> None:
    async def main() -> dict[str, str]:
        async with running_hub(*[plugin.id for plugin in made], installed=made) as hub:
            assert (await hub.client("any:thing").request("GET", "/api/live/poll?room=good.hall.x.door")).status == 200
            return {status.id: status.reason for status in hub.hub.report.plugins if not status.running}

    reasons = asyncio.run(main())

    assert {name: reason for name, reason in reasons.items() if name in BROKEN and BROKEN[name][1] not in reason} == {}
    assert reasons.keys() == BROKEN.keys()
