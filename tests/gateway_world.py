"""A hub with the gateway, scripted providers, and calls as a plugin makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

from luminai import Actor, ChatMessage, ChatRequest, End, Seam, StreamEvent, TextDelta
from luminai.testing import HubUnderTest, ScriptedProvider, running_hub
from luminai_ai_gateway import ChatCall, Gateway

NAMES = count(1)
NEVER = ("not", "asked")


class World:
    """The hub, the gateway's service, and an event loop that stays."""

    def __init__(self, runner: asyncio.Runner, hub: HubUnderTest) -> None:
        self._runner = runner
        self.hub = hub

    @property
    def gateway(self) -> Gateway:
        """The service, as a plugin that requires the gateway gets it."""
        wiring = self.hub.hub.generation.wiring
        found: Gateway = wiring.services.find("ai-gateway", Gateway)
        return found

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def provide(self, *replies: Sequence[Any], name: str = "", **more: Any) -> ScriptedProvider:
        """Offer a provider that answers so."""
        provider = ScriptedProvider(*replies, name=name or f"script{next(NAMES)}", **more)
        self.hub.provide("ai_providers", provider)
        return provider

    def replace(self, name: str, *replies: Sequence[Any], **more: Any) -> ScriptedProvider:
        """Offer a provider under a name that a route leads to, in the place of the last one."""
        self.hub.hub.generation.wiring.providers.remove(f"owner-{name}")
        provider = ScriptedProvider(*replies, name=name, **more)
        self.hub.provide("ai_providers", provider, owner=f"owner-{name}")
        return provider

    def take_away(self, *names: str) -> None:
        for name in names:
            self.hub.hub.generation.wiring.providers.remove(f"owner-{name}")

    def call(self, model: str, content: str = "Hello", *, subject: str = "ann", scopes: Sequence[str] = ("ai-gateway:use",), **more: Any) -> ChatCall:
        actor = Actor(id=f"key_{subject}", subject=subject, scopes=frozenset(scopes))
        own = {name: more.pop(name) for name in ("key", "origin", "prompt_version") if name in more}
        request = ChatRequest(model="", messages=more.pop("messages", (ChatMessage("user", content),)), **more)
        return ChatCall(actor=actor, model=model, request=request, **own)

    async def events(self, call: ChatCall) -> list[StreamEvent]:
        async with aclosing(self.gateway.stream(call)) as stream:
            return [event async for event in stream]

    def stream(self, model: str, content: str = "Hello", **more: Any) -> tuple[str, End]:
        """Return the text as a reader has it at the end, and the end."""
        *content_events, end = self.run(self.events(self.call(model, content, **more)))
        assert isinstance(end, End)
        assert not any(isinstance(event, End) for event in content_events)
        return text_of(content_events), end

    def chat(self, model: str, content: str = "Hello", **more: Any) -> Any:
        return self.run(self.gateway.chat(self.call(model, content, **more)))

    def rows(self, subject: str = "ann") -> list[Any]:
        """The subject's calls by HTTP, newest first."""
        found: list[Any] = self.run(calls_of(self.hub, subject))
        return found

    def row(self, subject: str = "ann") -> Any:
        return self.rows(subject)[0]


async def calls_of(hub: HubUnderTest, subject: str) -> list[Any]:
    """Return a subject's calls by HTTP, newest first."""
    answer = await hub.client("ai-gateway:read", subject=subject).request("GET", "/api/ai/calls", query={"limit": 100})
    assert answer.status == 200, answer.text
    found: list[Any] = answer.json()["items"]
    return found


def text_of(events: Sequence[StreamEvent]) -> str:
    """Return what stands of a stream's text."""
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Seam) and not event.keep:
            text = ""
    return text


@contextmanager
def open_world(folder: Path, config: Mapping[str, Any], *plugins: str, **more: Any) -> Iterator[World]:
    """Start a hub with the gateway and ``plugins``."""
    with nullcontext(more.pop("runner")) if "runner" in more else asyncio.Runner() as runner:
        opened = running_hub("ai-gateway", *plugins, config={"ai-gateway": config, **more.pop("configs", {})}, folder=folder, **more)
        hub = runner.run(opened.__aenter__())
        try:
            status = hub.status("ai-gateway")
            assert status.running, (status.reason, status.causes)
            yield World(runner, hub)
        finally:
            runner.run(opened.__aexit__(None, None, None))
