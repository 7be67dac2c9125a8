"""The core's routes for events: everybody sees what happened in their own name or about them, operators look after the whole log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, HubError
from luminai.contracts.identity import policy
from luminai.contracts.patterns import published
from luminai.contracts.streams import Folded
from luminai.host.aggregates import state_of
from luminai.host.own_work import Replay, put_replay
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.event_list import EventCount, EventDetail, EventFilter, EventInfo, Viewer
from luminai.work.job_list import JobInfo
from luminai.work.streams import stream_of
from luminai.work.subscriptions import kept

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SCOPE = "hub:events"
AnyRequest = Request[Any, Any, Any]
EventId = Annotated[str, PathParameter(pattern=r"^evt_[0-9a-f]{32}\Z")]
TypeFilter = Annotated[
    str,
    QueryParameter(
        name="type", pattern=r"^([a-z][a-z0-9-]{0,31}(\.[A-Za-z][A-Za-z0-9_-]{0,79})?)?\Z", description="Only those of this type, or of this plugin."
    ),
]
KeyFilter = Annotated[str, QueryParameter(max_length=200, description="Only those with this key.")]
ChainFilter = Annotated[str, QueryParameter(max_length=80, description="Only those of the chain that began with this request, job or event.")]
SubjectFilter = Annotated[str, QueryParameter(max_length=120, description="Only those about this person or thing.")]
PluginId = Annotated[str, QueryParameter(pattern=r"^[a-z][a-z0-9-]{0,31}\Z", description="Whose stream.")]
AggregateName = Annotated[str, QueryParameter(pattern=r"^[a-z][a-z0-9-]{0,39}\Z", description="The aggregate's name.")]
StreamKey = Annotated[str, QueryParameter(min_length=1, max_length=120, description="Of which thing.")]
Number = Annotated[int | None, QueryParameter(ge=0, le=2**31 - 1, description="After so many events.")]
Moment = Annotated[datetime | None, QueryParameter(description="As it was at this moment.")]
Full = Annotated[bool, QueryParameter(description="Apply every event, as if there were no snapshots.")]
Days = Annotated[int, QueryParameter(ge=1, le=366, description="How many days back.")]


class EventTypeInfo(Struct, frozen=True, kw_only=True):
    """An event type that a running plugin declares; ``payload`` is its JSON Schema, ``keep`` its class of retention."""

    type: str
    plugin: str
    version: int
    summary: str
    keep: str
    payload: dict[str, Any]


class StreamState(Struct, frozen=True, kw_only=True):
    """What a stream amounts to after its first ``number`` events, the last of them at ``at``; ``replayed`` of them were applied to answer."""

    plugin: str
    aggregate: str
    key: str
    number: int
    at: datetime | None
    replayed: int
    state: Any


class SubscriptionInfo(Struct, frozen=True, kw_only=True):
    """A durable subscription. While its plugin is off (``running`` false) its deliveries are parked."""

    subscription: str
    event: str
    running: bool


def event_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_own(hub), *_all(hub)]


def _own(hub: Hub) -> Sequence[Any]:
    @get("/api/events", opt=policy())
    async def list_events(
        request: AnyRequest,
        of_type: TypeFilter = "",
        key: KeyFilter = "",
        correlation: ChainFilter = "",
        limit: page_limit = 20,
        cursor: page_cursor = None,
    ) -> Page[EventInfo]:
        """List the events in the caller's name or about the caller without their payloads, newest first: of plugins of which the credential holds a
        scope."""
        wanted = EventFilter(type=of_type, key=key, correlation=correlation)
        return _page(await hub.events.page(wanted, viewer=Viewer.of(signed_in(request)), limit=limit + 1, before=cursor), limit)

    @get("/api/events/{event:str}", opt=policy())
    async def show_event(request: AnyRequest, event: EventId) -> EventDetail:
        """Show one event with its payload, and to operators what became of it."""
        actor = signed_in(request)
        return await hub.events.find(event, viewer=None if actor.may(SCOPE) else Viewer.of(actor))

    @get("/api/event-types", opt=policy())
    async def list_event_types(limit: page_limit = 20, cursor: page_cursor = None) -> Page[EventTypeInfo]:
        """List the event types of running plugins with the shapes of their payloads, by name."""
        kinds = [(name, kind) for name, kind in hub.generation.wiring.events.kinds.items() if cursor is None or name > cursor]
        items = [
            EventTypeInfo(
                type=name,
                plugin=name.partition(".")[0],
                version=kind.version,
                summary=kind.summary,
                keep=kind.keep,
                payload=published(msgspec.json.schema(kind.payload)),
            )
            for name, kind in kinds[:limit]
        ]
        return Page(items, kinds[limit - 1][0] if len(kinds) > limit else None)

    return [list_events, show_event, list_event_types]


def _all(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/events", opt=policy(SCOPE))
    async def list_all_events(
        of_type: TypeFilter = "",
        key: KeyFilter = "",
        correlation: ChainFilter = "",
        subject: SubjectFilter = "",
        limit: page_limit = 20,
        cursor: page_cursor = None,
    ) -> Page[EventInfo]:
        """List everybody's events without their payloads, newest first."""
        wanted = EventFilter(type=of_type, key=key, correlation=correlation, subject=subject)
        return _page(await hub.events.page(wanted, viewer=None, limit=limit + 1, before=cursor), limit)

    @get("/api/admin/event-counts", opt=policy(SCOPE))
    async def count_events(days: Days = 7) -> list[EventCount]:
        """Count the events of the last days by type, the most frequent first, at most 500 types."""
        return await hub.events.counts(days=days)

    @get("/api/admin/event-subscriptions", opt=policy(SCOPE))
    async def list_subscriptions(limit: page_limit = 20, cursor: page_cursor = None) -> Page[SubscriptionInfo]:
        """List durable subscriptions, also of plugins that are off, by name."""
        running = {loaded.id for loaded in hub.generation.plugins}
        found = [
            SubscriptionInfo(subscription=f"{one.plugin}.{one.action}", event=one.event, running=one.plugin in running)
            for one in await hub.database.read(kept)
        ]
        found = sorted((one for one in found if cursor is None or one.subscription > cursor), key=lambda one: one.subscription)
        return Page(found[:limit], found[limit - 1].subscription if len(found) > limit else None)

    @post("/api/admin/event-subscriptions/replay", opt=policy(SCOPE, step_up=True), status_code=202)
    async def replay_events(request: AnyRequest, data: JSONBody[Replay]) -> JobInfo:
        """Have a durable subscription get the events of the log that it did not get; answers with the job that sees to it."""
        actor = signed_in(request)
        job = await hub.database.write(lambda session: put_replay(hub, session, data, by=actor))
        hub.jobs.wake()
        return await hub.job_list.find(job, subject=None)

    @get("/api/admin/event-state", opt=policy(SCOPE))
    async def show_state(
        plugin: PluginId, aggregate: AggregateName, key: StreamKey, number: Number = None, at: Moment = None, full: Full = False
    ) -> StreamState:
        """Show the state that follows from a stream: now, after so many events, or as it was at a moment."""
        kind = hub.generation.wiring.aggregates.find(plugin, aggregate)
        stream = stream_of(plugin, aggregate, key)

        def unit(session: Session) -> Folded:
            try:
                return state_of(session, stream, kind, number=number, at=at, full=full)
            except (HubError, SQLAlchemyError):
                raise
            except Exception as error:  # plugin code may raise anything
                raise Conflict(f"{plugin} cannot fold the stream.", code="fold-failed", hint="Its log tells why.", plugin=plugin) from error

        found = await hub.database.read(unit, timeout=30)
        state = msgspec.to_builtins(found.state)
        return StreamState(plugin=plugin, aggregate=aggregate, key=key, number=found.number, at=found.at, replayed=found.replayed, state=state)

    return [list_all_events, count_events, list_subscriptions, replay_events, show_state]


def _page(found: list[EventInfo], limit: int) -> Page[EventInfo]:
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)
