"""The core's routes for repairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from luminai.contracts.errors import Conflict, NotFound
from luminai.contracts.identity import policy
from luminai.host.repair_items import Repair
from luminai.host.repairs import find_repairs
from luminai.host.supervisor import Outcome
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class IgnoreRequest(Struct, forbid_unknown_fields=True):
    """Puts an item aside."""

    reason: Annotated[str, Meta(min_length=3, max_length=300)]


def repair_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    async def find(repair: str) -> Repair:
        found = next((item for item in await find_repairs(hub) if item.id == repair), None)
        if found is None:
            raise NotFound(f"There is no item {repair} (any more).", code="repair-not-found", hint="`luminai repairs list` shows what is open.")
        return found

    @get("/api/admin/repairs", opt=policy("hub:plugins"))
    async def list_repairs(limit: page_limit = 100, cursor: page_cursor = None) -> Page[Repair]:
        """List what needs a look: errors first, ignored items last."""
        found = await find_repairs(hub)
        ids = [item.id for item in found]
        start = ids.index(cursor) + 1 if cursor in ids else 0
        page = found[start : start + limit]
        return Page(page, page[-1].id if len(found) > start + limit else None)

    @post("/api/admin/repairs/{repair:str}/fix", opt=policy("hub:plugins", step_up=True), status_code=200)
    async def fix(request: Request[Any, Any, Any], repair: FromPath[str]) -> Outcome:
        """Take the item's action."""
        item = await find(repair)
        if not item.fix.action:
            raise Conflict("This needs a person.", code="no-action", hint=" ".join(item.fix.steps))
        by = signed_in(request).id
        wish = {item.plugin: hub.desired.wish(item.plugin, True, by=by)} if item.fix.action == "enable" else {}
        return await hub.supervisor.change(wish, by=by, summary=f"repair {item.id}", renew=frozenset({item.plugin}))

    @post("/api/admin/repairs/{repair:str}/ignore", opt=policy("hub:plugins", step_up=True), status_code=200)
    async def ignore(request: Request[Any, Any, Any], repair: FromPath[str], data: JSONBody[IgnoreRequest]) -> Repair:
        """Put an item aside, with the reason."""
        await find(repair)
        await hub.ignored.ignore(repair, data.reason, by=signed_in(request).id)
        return await find(repair)

    @delete("/api/admin/repairs/{repair:str}/ignore", opt=policy("hub:plugins", step_up=True))
    async def show_again(repair: FromPath[str]) -> None:
        """Show an ignored item again."""
        await find(repair)
        await hub.ignored.take_back(repair)

    return [list_repairs, fix, ignore, show_again]
