"""The core's routes for alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import policy
from luminai.contracts.metrics import AlertRule
from luminai.host.alerting import Told
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.telemetry.alert_rules import prometheus_rules, promql
from luminai.telemetry.alerts import Alert

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class RuleInfo(Struct, kw_only=True):
    """A rule that is watched: its full name, what it says, the same for Prometheus, and whether there are figures for it."""

    name: str
    rule: AlertRule
    promql: str
    has_data: bool
    too_many_groups: bool


class TryRequest(Struct, forbid_unknown_fields=True):
    """Which channel to try; empty for all."""

    channel: Annotated[str, Meta(max_length=32)] = ""


def alert_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/api/admin/alerts", opt=policy("hub:monitor"))
    async def list_alerts(
        ended: Annotated[bool, QueryParameter(description="Also the last 200 that are resolved, in this process.")] = False,
        limit: page_limit = 100,
        cursor: page_cursor = None,
    ) -> Page[Alert]:
        """List what fires in any process, and what is pending in this one, the worst first."""
        found = [*await hub.alerts.open(), *(reversed(hub.alerts.board.ended) if ended else ())]
        start = int(cursor) if cursor is not None and cursor.isdecimal() else 0
        return Page(found[start : start + limit], str(start + limit) if len(found) > start + limit else None)

    @get("/api/admin/alerts/rules", opt=policy("hub:monitor"))
    async def list_rules(limit: page_limit = 100, cursor: page_cursor = None) -> Page[RuleInfo]:
        """List the rules that are watched, by name."""
        names = sorted(name for name in hub.alerts.board.watches if cursor is None or name > cursor)
        page = [hub.alerts.board.watches[name] for name in names[:limit]]
        items = [RuleInfo(name=one.name, rule=one.rule, promql=promql(one.rule), has_data=one.has_data, too_many_groups=one.too_many) for one in page]
        return Page(items, names[limit - 1] if len(names) > limit else None)

    @get("/api/admin/alerts/prometheus", opt=policy("hub:monitor"))
    async def prometheus() -> dict[str, Any]:
        """Show the rules as a rule file of Prometheus; JSON is YAML."""
        return prometheus_rules({name: watch.rule for name, watch in hub.alerts.board.watches.items()})

    @post("/api/admin/alerts/test", opt=policy("hub:alerts"), status_code=200)
    async def test(request: Request[Any, Any, Any], data: JSONBody[TryRequest]) -> list[Told]:
        """Send a test message through the channels."""
        if data.channel and data.channel not in hub.settings.alerts.channels:
            hint = f"Known: {', '.join(hub.settings.alerts.channels) or 'none'}; they stand in [alerts.channels]."
            raise NotFound(f"There is no channel {data.channel}.", code="alert-channel-not-found", hint=hint)
        by, entry = signed_in(request), AuditEntry(action="alert.test", object=f"alert-channel:{data.channel or '*'}")
        await hub.database.write(lambda session: hub.audit.record(session, by, entry))
        return await hub.alerts.try_channels(data.channel)

    return [list_alerts, list_rules, prometheus, test]
