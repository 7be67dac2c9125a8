"""``luminai payments``."""

from __future__ import annotations

import click

from luminai import Terminal

_COLUMNS = ("id", "status", "purpose", "product", "provider", "captured", "refunded", "doing")


@click.group()
def payments() -> None:
    """See to payments.

    \b
    Examples:
      luminai payments list --status unknown
      luminai payments refund pay_018f… --amount 500
      luminai payments repair
    """


@payments.command("list")
@click.option("--status", metavar="STATUS", help="Only those in this state, such as captured or unknown.")
@click.option("--subject", metavar="ID", help="Only those of this person.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.pass_obj
def list_payments(terminal: Terminal, status: str | None, subject: str | None, limit: int) -> None:
    """List everybody's payments, newest first.

    \b
    Examples:
      luminai payments list
      luminai payments list --status disputed
    """
    query = {"status": status, "subject": subject, "limit": limit}
    found = terminal.request("GET", "/api/payments/admin/payments", query={name: value for name, value in query.items() if value})
    terminal.emit(found["items"], columns=_COLUMNS)


@payments.command()
@click.argument("payment")
@click.option("--amount", type=click.IntRange(1), metavar="MINOR", help="Minor units; all that is left without it.")
@click.option("--reason", default="", help="Kept in the audit log.")
@click.pass_obj
def refund(terminal: Terminal, payment: str, amount: int | None, reason: str) -> None:
    """Give back a payment, or a part of it.

    \b
    Examples:
      luminai payments refund pay_018f… --reason "ordered twice"
    """
    terminal.emit(terminal.request("POST", "/api/payments/refund", body={"payment": payment, "amount": amount, "reason": reason}))


@payments.command()
@click.pass_obj
def repair(terminal: Terminal) -> None:
    """Ask the providers now about everything that is unknown or waits.

    \b
    Examples:
      luminai payments repair
    """
    terminal.emit(terminal.request("POST", "/api/payments/admin/repair"))


@payments.command()
@click.pass_obj
def reconcile(terminal: Terminal) -> None:
    """Compare with the providers' lists, and the payments with the ledger.

    \b
    Examples:
      luminai payments reconcile
    """
    terminal.emit(terminal.request("POST", "/api/payments/admin/reconcile"))
