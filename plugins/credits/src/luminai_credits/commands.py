"""``luminai credits``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote as quoted
from uuid import uuid4

import click

from luminai import Terminal


@click.group()
def credits() -> None:  # noqa: A001 - the command's name
    """See, give and price credits.

    \b
    Examples:
      luminai credits balance
      luminai credits grant user_018f… lumiku 500 --reason "Thank you"
      luminai credits quote chat.turn output_tokens=2000
      luminai credits import products/lumiku.toml
    """


@credits.command()
@click.argument("subject", required=False)
@click.pass_obj
def balance(terminal: Terminal, subject: str | None) -> None:
    """Show what you have in each product, or what SUBJECT has.

    \b
    Examples:
      luminai credits balance
      luminai credits balance user_018f…
    """
    path = f"/api/credits/manage/wallets/{quoted(subject, safe='')}" if subject else "/api/credits/balance"
    terminal.emit(terminal.request("GET", path), columns=("product", "unit", "available", "in_progress", "plan", "state"))


@credits.command()
@click.argument("subject")
@click.argument("product")
@click.argument("amount", type=click.IntRange(1, 10**12))
@click.option("--key", default="", metavar="KEY", help="Names the grant: the same key gives nothing twice.")
@click.option("--source", type=click.Choice(("admin", "promo", "purchase", "refund", "subscription")), default="admin", show_default=True)
@click.option("--expires", default="", metavar="MOMENT", help="When it ends, such as 2027-01-01T00:00:00Z.")
@click.option("--reason", default="", help="Told to the person.")
@click.pass_obj
def grant(terminal: Terminal, subject: str, product: str, amount: int, key: str, source: str, expires: str, reason: str) -> None:
    """Give AMOUNT units of PRODUCT to SUBJECT.

    \b
    Examples:
      luminai credits grant user_018f… lumiku 500 --reason "Thank you"
      luminai credits grant user_018f… lumiku 100 --source promo --expires 2027-01-01T00:00:00Z --key spring-2027:user_018f…
    """
    body: dict[str, Any] = {"subject": subject, "product": product, "amount": amount, "source": source, "reason": reason}
    body |= {"key": key or f"cli:{uuid4().hex}", **({"expires_at": expires} if expires else {})}
    terminal.emit(terminal.request("POST", "/api/credits/manage/grants", body=body))


@credits.command()
@click.argument("action")
@click.argument("quantities", nargs=-1, metavar="[NAME=NUMBER]...")
@click.option("--model", default="", metavar="NAME", help="The model, as provider/model.")
@click.option("--option", "options", multiple=True, metavar="NAME", help="An option that has a price.")
@click.pass_obj
def quote(terminal: Terminal, action: str, quantities: tuple[str, ...], model: str, options: tuple[str, ...]) -> None:
    """Tell what ACTION would cost you now.

    \b
    Examples:
      luminai credits quote chat.turn output_tokens=2000
      luminai credits quote CV_MIRROR_MATCH
    """
    counted: dict[str, int] = {}
    for given in quantities:
        name, _, number = given.partition("=")
        if not number.isdecimal():
            raise click.BadParameter(f"{given} is no NAME=NUMBER.", param_hint="quantities")
        counted[name] = int(number)
    body = {"action": action, "quantities": counted, "model": model, "options": list(options)}
    terminal.emit(terminal.request("POST", "/api/credits/quote", body=body))


@credits.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only tell what is wrong, and what would change.")
@click.pass_obj
def import_file(terminal: Terminal, file: Path, dry_run: bool) -> None:
    """Import a product FILE: units, prices, packs and plans. All its problems are told at once.

    \b
    Examples:
      luminai credits import products/lumiku.toml --dry-run
      luminai credits import products/lumiku.toml
    """
    try:
        text = file.read_text()
    except UnicodeDecodeError as error:
        raise click.BadParameter("The file is no text in UTF-8.", param_hint="file") from error
    terminal.emit(terminal.request("POST", "/api/credits/manage/products", body={"toml": text, "dry_run": dry_run}))
