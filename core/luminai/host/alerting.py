"""The hub watches itself: looks at its figures by rules, and tells whoever is to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, to_builtins
from msgspec.structs import replace
from sqlalchemy.orm import Session

from luminai.config.settings import AlertChannelSettings
from luminai.contracts.errors import HubError, Upstream
from luminai.contracts.metrics import AlertRule
from luminai.contracts.vault import HUB_SUBJECT
from luminai.host.alert_record import AlertRecord
from luminai.host.repair_items import Fix, Repair
from luminai.http.outbound.grants import grant_of
from luminai.telemetry.alert_rules import HUB_RULES, apply
from luminai.telemetry.alerts import Alert, AlertBoard, worst_first
from luminai.telemetry.figures import Family, Labels, Value
from luminai.telemetry.own_figures import own_name

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.alerts")
_RANK: Final = {"notice": 0, "warning": 1, "critical": 2}
_LEVELS: Final = {"notice": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
_OWN_ITEMS: Final = frozenset({"hub.unhealthy", "hub.resting", "hub.plugin-failed"})
"""Rules about what is an item of the repairs by itself."""
TRIES: Final = (0.0, 1.0, 5.0)
"""Seconds to wait before each attempt to reach a webhook."""
MAX_SENDING: Final = 50


class Told(Struct, frozen=True, kw_only=True):
    """What became of a test message."""

    channel: str
    kind: str
    ok: bool
    detail: str = ""


class Alerting:
    """One in a process, over its own figures. What fires is noted in the database, so that of several processes only one tells it.

    While the database does not answer, each process tells webhooks what it sees: better twice than not at all.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._settings = hub.settings.alerts
        self._began: float | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self.failed: dict[str, str] = {}
        """Channels that the last message did not reach, with the reason."""
        self.board = AlertBoard({})

    def follow(self, generation: Generation) -> None:
        """Watch by the rules of a generation; rules that did not change go on where they were."""
        self.board = AlertBoard(rules_of(generation, self._settings.rules), self.board)

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await asyncio.sleep(self._settings.interval_seconds)
            try:
                await self.round()
            except Exception:  # noqa: BLE001 - one bad turn must not end the watch
                _log.exception("alerts.round.failed")

    async def round(self) -> None:
        """Look once, log what changed, and tell the channels."""
        clock = self._hub.clock
        if self._hub.health is not None:
            await self._hub.health.results()  # nobody else may ask
        changes = self.board.round(await self._hub.metrics.families(), clock.now(), clock.monotonic())
        for alert in changes:
            extra = {"alert": alert.id, "state": alert.state, "severity": alert.severity, "value": round(alert.value, 4), "said": alert.message}
            _log.log(_LEVELS[alert.severity] if alert.state == "firing" else logging.INFO, "alert", extra=extra)
        try:
            tell = await self._record.turn(self.board.open, self._unsure(clock.monotonic()), self._put_all_letters)
        except HubError as error:
            tell = changes
            for alert in changes:
                for name, _ in self._channels("mail", alert):
                    self._did_not_reach(name, alert, error)
        for alert in tell:
            for name, channel in self._channels("webhook", alert):
                self._send(name, channel, alert)

    async def open(self) -> list[Alert]:
        """Return what fires in any process, and what is pending in this one, the worst first."""
        mine = self.board.open
        return worst_first([*mine, *await self._record.elsewhere([alert.id for alert in mine])])

    async def settle(self) -> None:
        """Wait until nothing is being sent."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def try_channels(self, only: str = "") -> list[Told]:
        """Send a test message to every channel, or to one, and tell what became of it; nothing is held back."""
        now = self._hub.clock.now()
        alert = Alert(
            id="test",
            rule="test",
            group={},
            state="firing",
            severity="critical",
            message="This is a test of the hub's alerts; nothing is wrong.",
            value=0,
            threshold=0,
            since=now,
            fired_at=now,
        )
        found = []
        for name, channel in self._settings.channels.items():
            if only and name != only:
                continue
            try:
                if channel.kind == "mail":
                    await self._hub.database.write(partial(self._put_letters, channel, alert))
                else:
                    await self._post(channel, alert)
            except HubError as error:
                found.append(Told(channel=name, kind=channel.kind, ok=False, detail=error.detail))
            else:
                detail = "Put into the queue of letters." if channel.kind == "mail" else "Taken."
                found.append(Told(channel=name, kind=channel.kind, ok=True, detail=detail))
        return found

    async def repairs(self) -> list[Repair]:
        """Return an item for each alert that fires, and for each channel that cannot be reached."""
        found = [
            Repair(
                id=f"alert:{alert.id}",
                severity="error" if alert.severity == "critical" else alert.severity,
                title=alert.message,
                cause=f"{alert.rule} is {alert.value:.4g}; the limit is {alert.threshold:g}.",
                effect="It goes on; `luminai alerts list` shows since when.",
                fix=Fix(steps=("Look at what changed then.", f'If the limit is wrong: set another in [alerts.rules."{alert.rule}"].')),
                plugin=alert.group.get("plugin", ""),
            )
            for alert in await self.open()
            if alert.state == "firing" and alert.rule not in _OWN_ITEMS
        ]
        return found + [
            Repair(
                id=f"alert-channel:{name}",
                severity="error",
                title=f"Alerts do not reach the channel {name}",
                cause=reason,
                effect="Nobody is told there; the log has every alert.",
                fix=Fix(steps=(f"Look at [alerts.channels.{name}].", f"Try it: `luminai alerts test {name}`.")),
            )
            for name, reason in self.failed.items()
        ]

    def family(self) -> Family:
        """Return the metric of what fires."""
        rows: dict[Labels, Value] = {(alert.rule, alert.severity): 1.0 for alert in self.board.open if alert.state == "firing"}
        return Family(name="luminai_alerts_firing", kind="gauge", help="Rules that fire.", labels=("rule", "severity"), rows=rows)

    @cached_property
    def _record(self) -> AlertRecord:
        hub = self._hub
        return AlertRecord(hub.database, hub.clock, hub.nodes.id, timedelta(minutes=self._settings.repeat_minutes))

    def _unsure(self, now: float) -> set[str]:
        """Return the rules that were not watched for as long as they look back and wait."""
        self._began = now if self._began is None else self._began
        return {name for name, watch in self.board.watches.items() if now - self._began < watch.rule.over + watch.rule.hold}

    def _channels(self, kind: str, alert: Alert) -> list[tuple[str, AlertChannelSettings]]:
        """Return the channels of a kind that are told of such an alert."""
        return [pair for pair in self._settings.channels.items() if pair[1].kind == kind and _RANK[alert.severity] >= _RANK[pair[1].least]]

    def _put_all_letters(self, session: Session, alert: Alert) -> None:
        for _, channel in self._channels("mail", alert):
            self._put_letters(channel, alert, session)

    def _put_letters(self, channel: AlertChannelSettings, alert: Alert, session: Session) -> None:
        text = "\n".join(_lines(alert, self._hub.settings.server.public_url))
        title = f"[{alert.severity}] {'Over: ' if alert.state == 'resolved' else ''}{alert.message}"[:200]
        for address in channel.to:
            self._hub.mail.queue.put(session, subject=HUB_SUBJECT, to=address, title=title, text=text)

    def _send(self, name: str, channel: AlertChannelSettings, alert: Alert) -> None:
        if len(self._sending) >= MAX_SENDING:
            self.failed[name] = f"{MAX_SENDING} messages were under way already."
            return

        async def send() -> None:
            for number, pause in enumerate(TRIES, 1):
                await asyncio.sleep(pause)
                try:
                    await self._post(channel, alert)
                except HubError as error:
                    if number == len(TRIES):
                        self._did_not_reach(name, alert, error)
                else:
                    self.failed.pop(name, None)
                    return

        task = asyncio.get_running_loop().create_task(send(), name=f"luminai:alert:{name}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _post(self, channel: AlertChannelSettings, alert: Alert) -> None:
        url = self._hub.supervisor.runtime.resolve_secret(channel.url)
        said = {"text": "\n".join(_lines(alert, self._hub.settings.server.public_url)), "alert": to_builtins(alert)}
        try:
            http = self._hub.outbound.client("alerts", [grant_of(url)])
        except ValueError as error:
            raise Upstream(f"The address cannot be called: {error}", code="alert-channel-refused") from error
        reply = await http.request("POST", url, json=said, timeout=10.0, max_bytes=65_536)
        if not 200 <= reply.status < 300:
            raise Upstream(f"The webhook answered {reply.status}.", code="alert-channel-failed")

    def _did_not_reach(self, name: str, alert: Alert, error: HubError) -> None:
        self.failed[name] = error.detail
        _log.error("alert.channel.failed", extra={"channel": name, "alert": alert.id, "reason": error.detail})


def rules_of(generation: Generation, settings: Mapping[str, Any]) -> dict[str, AlertRule]:
    """Return every rule by its full name: the hub's, those of running plugins, the operator's."""
    known = {f"hub.{rule.name}": rule for rule in HUB_RULES}
    for loaded in generation.plugins:
        for rule in loaded.contributions.get("alert_rules", ()):
            metric = rule.metric if rule.metric.startswith("luminai_") else own_name(loaded.id, rule.metric)
            known[f"{loaded.id}.{rule.name}"] = replace(rule, metric=metric)
    return apply(known, settings)


def _lines(alert: Alert, public_url: str) -> list[str]:
    lines = [f"{'Over' if alert.state == 'resolved' else alert.severity.title()}: {alert.message}"]
    lines += [f"Rule {alert.rule}: {alert.value:.4g}, limit {alert.threshold:g}.", f"Since {alert.since:%Y-%m-%d %H:%M} UTC."]
    if alert.resolved_at is not None:
        lines.append(f"Until {alert.resolved_at:%Y-%m-%d %H:%M} UTC.")
    return [*lines, *([f"Hub: {public_url}"] if public_url else [])]
