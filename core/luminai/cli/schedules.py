"""``luminai schedules``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click

from luminai.cli.actions import read_input
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import InvalidInput

_COLUMNS: Final = ("id", "name", "action", "state", "trigger", "zone", "next_fire_at", "last_fire_at", "paused_because")
MAX_SIMULATED: Final = 1000
Command = Callable[..., Any]


@click.group()
def schedules() -> None:
    """Have actions run by the clock: see, add, change, pause and try out schedules.

    \b
    Examples:
      luminai schedules list --all
      luminai schedules add github.sync "cron: 0 8 * * mon-fri" --zone Europe/Berlin repository=luminai/hub
      luminai schedules simulate --until 2026-12-31
    """


def _timing(command: Command) -> Command:
    """Give a command the options that add and edit share; what is not given stays None."""
    for option in reversed(
        (
            click.option("--zone", help="Time zone of its times of day, such as Europe/Berlin."),
            click.option("--start", metavar="MOMENT", help="Nothing runs before; `every` and `calendar` count from it."),
            click.option("--misfire", type=click.Choice(["skip", "once", "all"]), help="What becomes of moments that were missed."),
            click.option("--grace", type=click.IntRange(0, 604_800), metavar="S", help="Seconds after which a moment counts as missed."),
            click.option("--overlap", type=click.Choice(["action", "allow", "skip", "queue", "replace"]), help="While an earlier run of it goes on."),
            click.option("--jitter", type=click.IntRange(0, 3600), metavar="S", help="Begin each run up to so many seconds later."),
            click.option("--input", "given", metavar="JSON", help="The whole input as JSON, instead of single values."),
        )
    ):
        command = option(command)
    return command


@schedules.command("list")
@click.option("--action", default="", metavar="NAME", help="Only those of this action, or of this plugin.")
@click.option("--all", "all_of_them", is_flag=True, help="Everybody's, and those of plugins.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_schedules(terminal: HubTerminal, action: str, all_of_them: bool, limit: int, cursor: str | None) -> None:
    """List schedules, newest first.

    \b
    Examples:
      luminai schedules list
      luminai schedules list --all --action github
    """
    terminal.emit(_page(terminal, action, all_of_them, limit, cursor)["items"], columns=_COLUMNS)


@schedules.command()
@click.argument("schedule")
@click.pass_obj
def show(terminal: HubTerminal, schedule: str) -> None:
    """Show one schedule with its input and its next five moments.

    \b
    Examples:
      luminai schedules show sch_018f…
    """
    terminal.emit(terminal.request("GET", f"/api/schedules/{schedule}"))


@schedules.command()
@click.argument("action")
@click.argument("trigger")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--name", help="What to call it (default: the action).")
@_timing
@click.pass_obj
def add(terminal: HubTerminal, /, action: str, trigger: str, values: tuple[str, ...], name: str | None, given: str | None, **timing: Any) -> None:
    """Have an action run by the clock, in your name.

    \b
    Examples:
      luminai schedules add github.sync "every: 15m" repository=luminai/hub
      luminai schedules add shelf.report "calendar: 1 month 08:00" --zone Europe/Berlin --misfire all
    """
    body = {"name": name or action, "action": action, "trigger": trigger, "input": read_input(values, given)} | _given(timing)
    terminal.emit(terminal.request("POST", "/api/schedules", body=body))


@schedules.command()
@click.argument("schedule")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--name", help="What to call it.")
@click.option("--trigger", help="When it runs.")
@click.option("--revision", type=int, help="Refuse if it was changed since this one (default: the one of now).")
@_timing
@click.pass_obj
def edit(terminal: HubTerminal, /, schedule: str, values: tuple[str, ...], revision: int | None, given: str | None, **change: Any) -> None:
    """Change a schedule; what is not named stays. Values, or --input, replace the whole input.

    \b
    Examples:
      luminai schedules edit sch_018f… --trigger "cron: 30 7 * * mon-fri"
    """
    path = f"/api/schedules/{schedule}"
    body = _given(change) | ({"input": read_input(values, given)} if values or given is not None else {})
    body["revision"] = revision if revision is not None else terminal.request("GET", path)["revision"]
    terminal.emit(terminal.request("PATCH", path, body=body))


@schedules.command()
@click.argument("schedule")
@click.option("--reason", default="", help="Shown to whoever wonders.")
@click.pass_obj
def pause(terminal: HubTerminal, schedule: str, reason: str) -> None:
    """Run it no more until it is resumed.

    \b
    Examples:
      luminai schedules pause sch_018f… --reason "their API is down"
    """
    terminal.emit(terminal.request("POST", f"/api/schedules/{schedule}/pause", body={"reason": reason}))


@schedules.command()
@click.argument("schedule")
@click.pass_obj
def resume(terminal: HubTerminal, schedule: str) -> None:
    """Run it again from now on.

    \b
    Examples:
      luminai schedules resume sch_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/schedules/{schedule}/resume"))


@schedules.command()
@click.argument("schedule")
@click.pass_obj
def remove(terminal: HubTerminal, schedule: str) -> None:
    """Remove a schedule; jobs that it put go on.

    \b
    Examples:
      luminai schedules remove sch_018f…
    """
    terminal.request("DELETE", f"/api/schedules/{schedule}")
    terminal.say(f"{schedule} is removed.")


@schedules.command()
@click.argument("schedule")
@click.pass_obj
def run(terminal: HubTerminal, schedule: str) -> None:
    """Run it once now and show the job; its next moment stays.

    \b
    Examples:
      luminai schedules run sch_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/schedules/{schedule}/run"))


@schedules.command()
@click.argument("trigger", required=False)
@click.option("--until", required=True, metavar="MOMENT", help="Up to this moment; a date is its beginning in UTC.")
@click.option("--since", metavar="MOMENT", help="From this moment on (default: now).")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of TRIGGER.")
@click.option("--start", metavar="MOMENT", help="Start of TRIGGER (default: --since).")
@click.option("--schedule", help="Only this one of the hub's.")
@click.option("--all", "all_of_them", is_flag=True, help="Everybody's, and those of plugins.")
@click.option("--most", type=click.IntRange(1, MAX_SIMULATED), default=100, show_default=True, help="Moments shown of each.")
@click.pass_obj
def simulate(
    terminal: HubTerminal,
    trigger: str | None,
    until: str,
    since: str | None,
    zone: str,
    start: str | None,
    schedule: str | None,
    all_of_them: bool,
    most: int,
) -> None:
    """Show when schedules would fire, or with TRIGGER, without any hub, when one like it would.

    \b
    Examples:
      luminai schedules simulate --until 2026-12-31
      luminai schedules simulate "cron: 30 2 * * *" --zone Europe/Berlin --since 2026-03-27 --until 2026-04-01
    """
    begin, end = _moment(since) if since else datetime.now(UTC), _moment(until)
    if trigger is not None:
        found = [{"id": "", "name": trigger, "trigger": trigger, "zone": zone, "start": _moment(start) if start else begin, "state": "active"}]
    elif schedule is not None:
        found = [terminal.request("GET", f"/api/schedules/{schedule}")]
    else:
        found = _every(terminal, all_of_them)
    rows = [row for one in found if one["state"] == "active" for row in _fires(terminal, one, begin, end, most)]
    terminal.emit(sorted(rows, key=lambda row: (row["at"], row["schedule"])), columns=("at", "local", "name", "schedule"))


def _fires(terminal: HubTerminal, one: dict[str, Any], begin: datetime, end: datetime, most: int) -> list[dict[str, Any]]:
    from luminai.work.triggers import moments, read_trigger, read_zone

    start = _moment(one["start"]) if isinstance(one["start"], str) else one["start"]
    found = moments(read_trigger(one["trigger"], one["zone"]), start.replace(microsecond=0), begin, most=most + 1, until=end)
    if len(found) > most:
        terminal.say(f"{one['name']} fires more than {most} times; --most shows up to {MAX_SIMULATED}.")
    zone = read_zone(one["zone"])
    return [
        {"schedule": one["id"], "name": one["name"], "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "local": at.astimezone(zone).isoformat()}
        for at in found[:most]
    ]


def _every(terminal: HubTerminal, all_of_them: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = _page(terminal, "", all_of_them, 100, cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _page(terminal: HubTerminal, action: str, all_of_them: bool, limit: int, cursor: str | None) -> Any:
    query: dict[str, Any] = {"action": action, "limit": limit} | ({"cursor": cursor} if cursor else {})
    return terminal.request("GET", "/api/admin/schedules" if all_of_them else "/api/schedules", query=query)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: _moment(value).isoformat() if name == "start" else value for name, value in options.items() if value is not None}


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no moment.", code="bad-moment", hint="Such as 2026-12-31 or 2026-12-31T08:00:00Z.") from error
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
