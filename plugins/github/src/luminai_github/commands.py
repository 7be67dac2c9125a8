"""``luminai github``."""

from __future__ import annotations

import click

from luminai import Terminal


@click.group()
def github() -> None:
    """See to GitHub's webhooks.

    \b
    Examples:
      luminai github reconcile
    """


@github.command()
@click.pass_obj
def reconcile(terminal: Terminal) -> None:
    """Compare with GitHub's own list, and have it deliver again what never arrived. Run it once a day: GitHub keeps deliveries for 3 days.

    \b
    Examples:
      luminai github reconcile
    """
    terminal.emit(terminal.request("POST", "/api/github/reconcile"))
