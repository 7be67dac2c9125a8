"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import Decision, EventType, HealthCheck, PluginContext, Service, hookimpl
from luminai_chat.config import ChatConfig
from luminai_chat.models import metadata
from luminai_chat.routes import handlers
from luminai_chat.service import Chat, TurnClosed, TurnOpened

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Conversations."""

    config: ClassVar = ChatConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the chat to plugins with a surface of their own."""
        return [Service(Chat, Chat(ctx))]

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
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether anything can answer."""
        return [HealthCheck(name="can-answer", check=ctx.service(Chat).health)]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer asking, following, reading."""
        return handlers(ctx, ctx.service(Chat))
