"""``luminai jobs``."""

from __future__ import annotations

from typing import Any, Final

import click

from luminai.cli.actions import read_input
from luminai.cli.actions import run as run_action
from luminai.cli.terminal import HubTerminal

_COLUMNS: Final = ("id", "action", "state", "attempts", "trigger", "created_at", "error_code")
_STATES: Final = (
    *("scheduled", "waiting", "queued", "running", "retrying", "parked"),
    *("succeeded", "dead", "cancelled", "expired", "skipped", "discarded"),
)


@click.group()
def jobs() -> None:
    """See what runs beside requests; run, cancel, retry, edit, discard and pause it.

    \b
    Examples:
      luminai jobs run github.sync repository=luminai/hub --wait 30
      luminai jobs list --state dead
      luminai jobs retry job_018f…
      luminai jobs pause github --reason "their API is down"
    """


jobs.add_command(run_action)  # what is asked for is an action, and what comes of it a job


@jobs.command("list")
@click.option("--action", default="", metavar="NAME", help="Only those of this action, or of this plugin.")
@click.option("--state", default="", type=click.Choice([*_STATES, ""]), help="Only those in this state.")
@click.option("--all", "all_of_them", is_flag=True, help="Everybody's.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_jobs(terminal: HubTerminal, action: str, state: str, all_of_them: bool, limit: int, cursor: str | None) -> None:
    """List jobs, newest first.

    \b
    Examples:
      luminai jobs list
      luminai jobs list --all --action github --state dead
    """
    query: dict[str, Any] = {"action": action, "state": state, "limit": limit} | ({"cursor": cursor} if cursor else {})
    path = "/api/admin/jobs" if all_of_them else "/api/jobs"
    terminal.emit(terminal.request("GET", path, query=query)["items"], columns=_COLUMNS)


@jobs.command()
@click.argument("job")
@click.pass_obj
def show(terminal: HubTerminal, job: str) -> None:
    """Show one job with its input and output.

    \b
    Examples:
      luminai jobs show job_018f…
    """
    terminal.emit(terminal.request("GET", f"/api/jobs/{job}"))


@jobs.command()
@click.argument("job")
@click.pass_obj
def history(terminal: HubTerminal, job: str) -> None:
    """Show what became of each attempt.

    \b
    Examples:
      luminai jobs history job_018f…
    """
    columns = ("attempt", "outcome", "version", "generation", "began_at", "milliseconds", "error_code")
    terminal.emit(terminal.request("GET", f"/api/jobs/{job}/history"), columns=columns)


@jobs.command()
@click.argument("job")
@click.pass_obj
def cancel(terminal: HubTerminal, job: str) -> None:
    """Cancel a job.

    \b
    Examples:
      luminai jobs cancel job_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/jobs/{job}/cancel"))


@jobs.command()
@click.argument("job")
@click.pass_obj
def retry(terminal: HubTerminal, job: str) -> None:
    """Have a job that is dead, cancelled or expired run again.

    \b
    Examples:
      luminai jobs retry job_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/jobs/{job}/retry"))


@jobs.command()
@click.argument("job")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--input", "given", metavar="JSON", help="The whole input as JSON; values beside it change it.")
@click.pass_obj
def edit(terminal: HubTerminal, job: str, values: tuple[str, ...], given: str | None) -> None:
    """Have a job that is dead, cancelled or expired run again with another input; without --input, values change the one it had.

    \b
    Examples:
      luminai jobs edit job_018f… repository=luminai/hub
    """
    before = terminal.request("GET", f"/api/jobs/{job}")["input"] if given is None else None
    body = (before or {}) | read_input(values, given)
    terminal.emit(terminal.request("POST", f"/api/admin/jobs/{job}/edit", body=body))


@jobs.command()
@click.argument("job")
@click.pass_obj
def discard(terminal: HubTerminal, job: str) -> None:
    """Give a job up that ended badly; its input is deleted.

    \b
    Examples:
      luminai jobs discard job_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/jobs/{job}/discard"))


@jobs.command()
@click.argument("target", default="*")
@click.option("--reason", default="", help="Shown to whoever wonders.")
@click.pass_obj
def pause(terminal: HubTerminal, target: str, reason: str) -> None:
    """Begin no more jobs: of a plugin, of an action, or * for all. Those that run go on.

    \b
    Examples:
      luminai jobs pause github.sync
    """
    terminal.emit(terminal.request("POST", "/api/admin/job-pauses", body={"target": target, "reason": reason}))


@jobs.command()
@click.argument("target", default="*")
@click.pass_obj
def resume(terminal: HubTerminal, target: str) -> None:
    """Take a pause back.

    \b
    Examples:
      luminai jobs resume github.sync
    """
    terminal.request("POST", "/api/admin/job-pauses/resume", body={"target": target})
    terminal.say(f"{target} goes on.")


@jobs.command()
@click.pass_obj
def paused(terminal: HubTerminal) -> None:
    """List what is paused.

    \b
    Examples:
      luminai jobs paused
    """
    terminal.emit(terminal.request("GET", "/api/admin/job-pauses"), columns=("target", "reason", "by", "since"))
