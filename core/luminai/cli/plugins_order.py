"""``luminai plugins order``."""

from __future__ import annotations

import click
import msgspec

from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import NotFound


@click.command()
@click.option("--hook", metavar="POINT", help="Show the steps of a decision point of the running hub instead, for example guard.turn.")
@click.pass_obj
def order(terminal: HubTerminal, hook: str | None) -> None:
    """Show in which order plugins start, with the reason of each place; or the order of the steps of a decision point.

    \b
    Examples:
      luminai plugins order
      luminai plugins order --hook guard.turn
    """
    if hook:
        points = terminal.request("GET", "/api/admin/plugins/decisions", offline=True)
        found = next((point for point in points if point["point"] == hook), None)
        if found is None:
            known = ", ".join(point["point"] for point in points) or "none"
            raise NotFound(f"No running plugin decides at {hook}.", code="no-decision-point", hint=f"There are: {known}.")
        terminal.emit(found["steps"], columns=("position", "plugin", "because", "calls", "failures", "timeout"))
        return
    from luminai.host.doctor import plan_of
    from luminai.host.explain_order import explain_order, left_out

    plan = plan_of(terminal.configuration())
    for cycle in left_out(plan):
        terminal.say(f"Left out, {cycle}.")
    terminal.emit(msgspec.to_builtins(explain_order(plan)), columns=("position", "id", "because"))
