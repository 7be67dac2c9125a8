"""The core's routes for webhooks: where outside services deliver, and where operators see what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from litestar import Request, Response, get, post
from litestar.params import PathParameter, QueryParameter

from luminai.contracts.errors import HubError, NotFound, Unavailable
from luminai.contracts.identity import policy
from luminai.contracts.runtime import Webhook
from luminai.host.webhook_inbox import Receipt
from luminai.host.webhook_list import DeliveryInfo, DeliveryList
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import client_address, signed_in, state_of
from luminai.http.webhooks import MAX_BYTES, SingleHeaders, read_body, verified

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.webhooks")
_WORDS: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_NAME: Final = rf"^{_WORDS}\Z"
PluginName = Annotated[str, PathParameter(pattern=_NAME, max_length=32)]
WebhookName = Annotated[str, PathParameter(pattern=_NAME, max_length=40)]
DeliveryId = Annotated[str, PathParameter(pattern=r"^whd_[0-9a-f]{32}\Z")]
PluginFilter = Annotated[str, QueryParameter(pattern=rf"^({_WORDS})?\Z", max_length=32, description="Only this plugin's.")]
States = Literal["", "waiting", "failed", "done", "dead", "discarded"]
StateFilter = Annotated[States, QueryParameter(name="state", description="Only those in this state.")]


def webhook_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_delivering(hub), *_looking(hub), *_acting(hub)]


def _delivering(hub: Hub) -> Sequence[Any]:
    @post("/api/webhook/{plugin:str}", opt=policy(anonymous=True), request_max_body_size=MAX_BYTES, status_code=202)
    async def deliver(request: Request[Any, Any, Any], plugin: PluginName) -> Response[Receipt]:
        """Take a delivery of an outside service in: 202 when it is new, 200 with the same answer when it was known. The plugin verifies it."""
        return await _take_in(hub, request, plugin, "")

    @post("/api/webhook/{plugin:str}/{name:str}", opt=policy(anonymous=True), request_max_body_size=MAX_BYTES, status_code=202)
    async def deliver_named(request: Request[Any, Any, Any], plugin: PluginName, name: WebhookName) -> Response[Receipt]:
        """Take a delivery for one of a plugin's several webhooks in."""
        return await _take_in(hub, request, plugin, name)

    return [deliver, deliver_named]


def _looking(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/webhooks", opt=policy("hub:webhooks"))
    async def list_deliveries(
        plugin: PluginFilter = "", in_state: StateFilter = "", limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[DeliveryInfo]:
        """List deliveries without their content, newest first."""
        found = await DeliveryList(hub.database, hub.clock, hub.audit).page(plugin=plugin, state=in_state, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/admin/webhooks/{delivery:str}", opt=policy("hub:webhooks"))
    async def show_delivery(delivery: DeliveryId) -> DeliveryInfo:
        """Show one delivery."""
        return await DeliveryList(hub.database, hub.clock, hub.audit).find(delivery)

    return [list_deliveries, show_delivery]


def _acting(hub: Hub) -> Sequence[Any]:
    @post("/api/admin/webhooks/{delivery:str}/retry", opt=policy("hub:webhooks", step_up=True), status_code=200)
    async def retry_delivery(request: Request[Any, Any, Any], delivery: DeliveryId) -> DeliveryInfo:
        """Have a failed or dead delivery handled again as soon as possible."""
        found = await DeliveryList(hub.database, hub.clock, hub.audit).retry(delivery, by=signed_in(request))
        hub.webhooks.wake()
        return found

    @post("/api/admin/webhooks/{delivery:str}/discard", opt=policy("hub:webhooks", step_up=True), status_code=200)
    async def discard_delivery(request: Request[Any, Any, Any], delivery: DeliveryId) -> DeliveryInfo:
        """Give a delivery up: its content is deleted, its id stays known."""
        return await DeliveryList(hub.database, hub.clock, hub.audit).discard(delivery, by=signed_in(request))

    return [retry_delivery, discard_delivery]


async def _take_in(hub: Hub, request: Request[Any, Any, Any], plugin: str, name: str) -> Response[Receipt]:
    webhook = _find(hub, plugin, name)
    state_of(request.scope).owner = plugin
    headers = SingleHeaders(request.scope["headers"])
    try:
        body = await read_body(headers, request.stream(), webhook.max_bytes)
        found = await verified(plugin, webhook, body, headers, hub.clock.now())
    except HubError as refused:
        extra = {"plugin": plugin, "webhook": name, "code": refused.code, "client": client_address(request)}
        _log.warning("webhook.refused", extra=extra)
        raise
    receipt, is_new = await hub.webhooks.inbox.take_in(plugin, name, found, body)
    if is_new and receipt.queued:
        hub.webhooks.wake()
    return Response(receipt, status_code=202 if is_new else 200)


def _find(hub: Hub, plugin: str, name: str) -> Webhook:
    loaded = hub.generation.loaded(plugin)
    if loaded is not None:
        for webhook in loaded.contributions.get("webhooks", ()):
            if webhook.name == name:
                found: Webhook = webhook
                return found
    elif any(status.id == plugin and status.installed for status in hub.report.plugins):
        hint = f"The operator sees why with `luminai plugins inspect {plugin}`."
        raise Unavailable(f"Plugin {plugin} does not run.", code="plugin-off", hint=hint, plugin=plugin, retry_after=60)
    raise NotFound(
        "There is no such webhook.", code="webhook-not-found", hint="The address is /api/webhook/<plugin> or /api/webhook/<plugin>/<name>."
    )
