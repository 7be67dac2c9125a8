"""The core's routes for outbound webhooks: everybody has endpoints for the own events, operators also for everybody's."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from luminai.contracts.errors import Forbidden, Unprocessable
from luminai.contracts.identity import Actor, policy
from luminai.host.endpoint_jobs import SCOPE, new_ping, put_again, put_sending
from luminai.host.endpoint_urls import MAX_URL, check_url
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.endpoints import CallInfo, EndpointInfo
from luminai.work.event_list import Viewer

if TYPE_CHECKING:
    from luminai.host.hub import Hub

AnyRequest = Request[Any, Any, Any]
EndpointId = Annotated[str, PathParameter(pattern=r"^end_[0-9a-f]{32}\Z")]
TypeName = Annotated[str, Meta(pattern=r"^(\*|[a-z][a-z0-9-]{0,31}\.[A-Za-z][A-Za-z0-9_-]{0,79})\Z")]


class NewEndpoint(Struct, forbid_unknown_fields=True):
    """Where to send which events: full names of types, or ``*``. With ``everyone`` everybody's, which needs the scope hub:webhooks."""

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
    types: Annotated[list[TypeName], Meta(min_length=1, max_length=50)]
    title: Annotated[str, Meta(max_length=200)] = ""
    everyone: bool = False


class WithSecret(EndpointInfo, frozen=True, kw_only=True):
    """An endpoint with its new secret, which is shown this once."""

    secret: str


class ReplayRequest(Struct, forbid_unknown_fields=True):
    """Which event to send once more."""

    event: Annotated[str, Meta(pattern=r"^evt_[0-9a-f]{32}\Z")]


class Queued(Struct, frozen=True):
    """The job that sends the message; ``GET /api/endpoints/{id}/calls`` tells how that went."""

    job: str


def endpoint_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_own(hub), *_sending(hub), *_all(hub)]


def _own(hub: Hub) -> Sequence[Any]:
    @get("/api/endpoints", opt=policy())
    async def list_endpoints(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[EndpointInfo]:
        """List the own endpoints, newest first."""
        return await _page(hub, signed_in(request).subject, limit, cursor)

    @post("/api/endpoints", opt=policy(limit="key-creation", step_up=True))
    async def create_endpoint(request: AnyRequest, data: JSONBody[NewEndpoint]) -> Response[WithSecret]:
        """Make an endpoint. Its secret is shown this once."""
        actor = signed_in(request)
        if data.everyone and not actor.may(SCOPE):
            hint = f"Leave `everyone` out to get your own events; everybody's need the scope {SCOPE}."
            raise Forbidden("These events are not yours.", code="events-of-others", hint=hint)
        _check_types(hub, data.types, actor)
        await check_url(data.url, hub.settings.endpoints.approve, hub.outbound)
        return _shown(*await hub.endpoints.create(url=data.url, title=data.title, types=data.types, everyone=data.everyone, by=actor))

    @get("/api/endpoints/{endpoint:str}", opt=policy())
    async def show_endpoint(request: AnyRequest, endpoint: EndpointId) -> EndpointInfo:
        """Show an endpoint."""
        return await hub.endpoints.find(endpoint, subject=_whose(signed_in(request)))

    @get("/api/endpoints/{endpoint:str}/calls", opt=policy())
    async def list_calls(request: AnyRequest, endpoint: EndpointId, limit: page_limit = 20, cursor: page_cursor = None) -> Page[CallInfo]:
        """List what was sent to an endpoint and what it answered, newest first: the last 500 attempts of 30 days."""
        found = await hub.endpoints.calls(endpoint, subject=_whose(signed_in(request)), limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/endpoints/{endpoint:str}/rotate", opt=policy(limit="key-creation", step_up=True), status_code=200)
    async def rotate_secret(request: AnyRequest, endpoint: EndpointId) -> Response[WithSecret]:
        """Give an own endpoint another secret, shown this once; for 24 hours messages are signed with both."""
        return _shown(*await hub.endpoints.rotate(endpoint, by=signed_in(request)))

    @delete("/api/endpoints/{endpoint:str}", opt=policy())
    async def delete_endpoint(request: AnyRequest, endpoint: EndpointId) -> None:
        """Delete an endpoint with what is known of its calls; what waits for it is not sent."""
        actor = signed_in(request)
        await hub.endpoints.delete(endpoint, subject=_whose(actor), by=actor)

    return [list_endpoints, create_endpoint, show_endpoint, list_calls, rotate_secret, delete_endpoint]


def _sending(hub: Hub) -> Sequence[Any]:
    @post("/api/endpoints/{endpoint:str}/enable", opt=policy(), status_code=200)
    async def enable_endpoint(request: AnyRequest, endpoint: EndpointId) -> EndpointInfo:
        """Send to an endpoint again that is disabled."""
        actor = signed_in(request)
        return await hub.endpoints.set_state(endpoint, "active", subject=_whose(actor), by=actor)

    @post("/api/endpoints/{endpoint:str}/ping", opt=policy(limit="key-creation"), status_code=202)
    async def ping_endpoint(request: AnyRequest, endpoint: EndpointId) -> Queued:
        """Send a message of the type `hub.ping`, also to an endpoint that is disabled."""
        actor = signed_in(request)
        found = await hub.endpoints.find(endpoint, subject=_whose(actor))
        job = await hub.database.write(lambda session: put_sending(hub, session, new_ping(endpoint), found.subject, by=actor.id))
        hub.jobs.wake()
        return Queued(job)

    @post("/api/endpoints/{endpoint:str}/replay", opt=policy(limit="key-creation"), status_code=202)
    async def replay_event(request: AnyRequest, endpoint: EndpointId, data: JSONBody[ReplayRequest]) -> Queued:
        """Send an event once more, under the same id."""
        actor = signed_in(request)
        found = await hub.endpoints.find(endpoint, subject=_whose(actor))
        job = await hub.database.write(lambda session: put_again(hub, session, endpoint, data.event, found.subject, by=actor))
        hub.jobs.wake()
        return Queued(job)

    return [enable_endpoint, ping_endpoint, replay_event]


def _all(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/endpoints", opt=policy(SCOPE))
    async def list_all_endpoints(limit: page_limit = 20, cursor: page_cursor = None) -> Page[EndpointInfo]:
        """List everybody's endpoints, newest first."""
        return await _page(hub, None, limit, cursor)

    @post("/api/admin/endpoints/{any_endpoint:str}/disable", opt=policy(SCOPE, step_up=True), status_code=200)
    async def disable_endpoint(request: AnyRequest, any_endpoint: EndpointId) -> EndpointInfo:
        """Send nothing more to an endpoint."""
        return await hub.endpoints.set_state(any_endpoint, "disabled", subject=None, by=signed_in(request), reason="An operator turned it off.")

    return [list_all_endpoints, disable_endpoint]


def _check_types(hub: Hub, types: Sequence[str], actor: Actor) -> None:
    """Refuse types that are not there, or whose events the credential may not see: what is sent outside is as much as what it reads here."""
    known, plugins = hub.generation.wiring.events.kinds, Viewer.of(actor).plugins
    for name in types:
        if not actor.may(SCOPE) and plugins is not None and name.partition(".")[0] not in plugins:
            hint = f"Name types of plugins of which you hold a scope; `*` needs {SCOPE}."
            raise Forbidden(f"Events of {name} are not for this credential.", code="events-of-others", hint=hint)
        if name != "*" and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`luminai events types` lists them."
            raise Unprocessable(f"No running plugin declares {name}.", code="unknown-event-type", hint=hint)


def _shown(info: EndpointInfo, secret: str) -> Response[WithSecret]:
    found = WithSecret(**{name: getattr(info, name) for name in EndpointInfo.__struct_fields__}, secret=secret)
    return Response(found, headers={"Cache-Control": "no-store"})


async def _page(hub: Hub, subject: str | None, limit: int, cursor: str | None) -> Page[EndpointInfo]:
    found = await hub.endpoints.page(subject=subject, limit=limit + 1, before=cursor)
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _whose(actor: Actor) -> str | None:
    """Operators see all; anybody else the own ones, and those of others as little as those that never were."""
    return None if actor.may(SCOPE) else actor.subject
