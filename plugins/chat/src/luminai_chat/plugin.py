"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from luminai import Channel, Decision, EraseReport, EventType, ExportItem, ExtensionPoint, HealthCheck, PluginContext, Service, hookimpl
from luminai_chat import privacy
from luminai_chat.config import ChatConfig
from luminai_chat.events import TurnClosed, TurnOpened
from luminai_chat.extension import ChatTool, ContextSource
from luminai_chat.models import metadata
from luminai_chat.routes import handlers
from luminai_chat.service import Chat
from luminai_chat.turn_routes import turn_handlers

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Conversations."""

    config: ClassVar = ChatConfig

    def __init__(self) -> None:
        self._chat: Chat | None = None

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the chat to plugins with a surface of their own."""
        self._chat = Chat(ctx)
        return [Service(Chat, self._chat)]

    @hookimpl
    def decisions(self, ctx: PluginContext) -> Sequence[Decision]:
        """Answer for the hub's global R."""
        return [Decision(point="choose.status.R_global", decide=ctx.service(Chat).global_r)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [
            EventType(name="TurnOpened", payload=TurnOpened, summary="A question was stored."),
            EventType(name="TurnClosed", payload=TurnClosed, summary="A reply was stored."),
        ]

    @hookimpl
    def channels(self, ctx: PluginContext) -> Sequence[Channel]:
        """Tell the owner's other tabs and devices what happens in a conversation."""
        kinds: dict[str, type[Struct]] = {"turn-opened": TurnOpened, "turn-closed": TurnClosed}
        summary = "Questions and replies of a conversation, each with the reply's R."
        return [Channel(name="conversation.{id}", kinds=kinds, may_join=ctx.service(Chat).owns, scope="chat:read", summary=summary)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether anything can answer."""
        return [HealthCheck(name="can-answer", check=ctx.service(Chat).health)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Keep turns, close those that were lost, and seal what an earlier release stored plainly."""
        ctx.service(Chat).start()

    @hookimpl
    async def stop(self) -> None:
        """End what runs, keeping what was generated."""
        if self._chat is not None:  # after a start that failed, the service is not offered any more
            await self._chat.stop()

    @hookimpl
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Let other plugins bring context and tools."""
        return [
            ExtensionPoint(name="context", type=ContextSource, summary="Texts that a reply may rest on."),
            ExtensionPoint(name="tool", type=ChatTool, summary="Functions that a model may ask for, once the operator lists them."),
        ]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer asking, following, reading."""
        found = ctx.service(Chat)
        return [*turn_handlers(found), *handlers(ctx)]

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Tell a person's conversations."""
        async for item in privacy.export(ctx, subject):
            yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """End a person's turns and delete the conversations."""
        if not dry_run:
            ctx.service(Chat).end_turns(subject)
        return await privacy.erase(ctx, subject, dry_run=dry_run)
