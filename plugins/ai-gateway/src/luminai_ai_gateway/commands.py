"""``luminai models`` and ``luminai ai``."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import quote as quoted

import click

from luminai import HubError, Terminal

MAX_FILE = 32 * 1024 * 1024


@click.group()
def models() -> None:
    """See which AI models there are, and try them.

    \b
    Examples:
      luminai models list
      luminai models test offline/extractive
    """


@models.command("list")
@click.pass_obj
def list_models(terminal: Terminal) -> None:
    """List the models that providers offer: what they do, their prices in dollars a million tokens, how their plugin is.

    \b
    Examples:
      luminai models list
    """
    health = _health(terminal)
    rows = []
    for one in _pages(terminal, "/api/ai/manage/models", {}):
        price = {rate["unit"]: rate["micro"] / 1_000_000 for rate in one["prices"] if not rate["above"]}
        told = {
            "kinds": ", ".join(one["kinds"]),
            "context": one["context_tokens"] or "",
            "price": _price(price),
            "health": health.get(one["plugin"], ""),
        }
        rows.append({**one, **told} if terminal.is_tty else {**one, "health": health.get(one["plugin"], "")})
    terminal.emit(rows, columns=("model", "kinds", "context", "price", "health"))


@models.command("test")
@click.argument("name")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the picture or the speech that it makes; - for stdout."
)
@click.pass_obj
def test_model(terminal: Terminal, name: str, output: Path | None) -> None:
    """Call the model NAME once, with as little as there can be; print how it ended, what it used and how long it took.

    \b
    Examples:
      luminai models test offline/extractive
      luminai models test gateway-route
      luminai models test offline/pattern --output dot.png
    """
    found = terminal.request("POST", "/api/ai/manage/models/test", body={"model": name, "content": output is not None})
    content = found.pop("content", None)
    if output is not None:
        if content is None:
            raise click.BadParameter(f"{name} makes neither pictures nor speech.", param_hint="--output")
        with click.open_file(str(output), "wb") as file:
            file.write(b64decode(content))
        if str(output) == "-":
            return
        found["file"] = str(output)
    terminal.emit(found)


@click.group()
def ai() -> None:
    """See prices of AI models and what became of calls.

    \b
    Examples:
      luminai ai prices list openai/
      luminai ai trace call_018f…
    """


@ai.command()
@click.argument("name", metavar="TURN_OR_CALL")
@click.option("--elsewhere", is_flag=True, help="Of a call: also what the same would have cost by other models' prices of that moment.")
@click.pass_obj
def trace(terminal: Terminal, name: str, elsewhere: bool) -> None:
    """Show what became of one of your calls, or of a turn of a chat: who was asked, times, usage, cost, how it ended.

    \b
    Examples:
      luminai ai trace call_018f…
      luminai ai trace call_018f… --elsewhere
    """
    of = "/api/chat/turns" if name.startswith("turn_") else "/api/ai/calls"
    query = {"elsewhere": "true"} if elsewhere and not name.startswith("turn_") else None
    terminal.emit(terminal.request("GET", f"{of}/{quoted(name, safe='')}", query=query))


@ai.group()
def prices() -> None:
    """Import, list and check prices of models.

    \b
    Examples:
      luminai ai prices import data.json --dry-run
      luminai ai prices check
    """


@prices.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only this provider of the file; may be given several times.")
@click.option("--as", "renames", multiple=True, metavar="THEIRS=OURS", help="What the hub calls a provider of the file, such as google=gemini.")
@click.option("--from", "start", default="", metavar="MOMENT", help="From when they hold, such as 2027-01-01T00:00:00Z; now without it.")
@click.option("--with-free", is_flag=True, help="Take prices of 0 too. Lists say 0 also where they do not know.")
@click.option("--dry-run", is_flag=True, help="Only tell what would change.")
@click.pass_obj
def import_file(
    terminal: Terminal, file: Path, providers: tuple[str, ...], renames: tuple[str, ...], start: str, with_free: bool, dry_run: bool
) -> None:
    """Import prices from FILE: LiteLLM's model_prices_and_context_window.json or genai-prices' data.json. All of it is taken, or nothing.

    \b
    Examples:
      luminai ai prices import model_prices_and_context_window.json --provider openai --dry-run
      luminai ai prices import data.json --provider google --as google=gemini
    """
    from luminai_ai_gateway.price_ask import price_ask

    if file.stat().st_size > MAX_FILE:
        raise click.BadParameter("The file is larger than 32 MiB.", param_hint="file")
    names = dict(one.partition("=")[::2] for one in renames)
    if not all(names) or not all(names.values()):
        raise click.BadParameter("Give it as THEIRS=OURS.", param_hint="--as")
    offered = [one["model"] for one in _pages(terminal, "/api/ai/manage/models", {})]
    body, left_out = price_ask(file.read_bytes(), only=providers, names=names, offered=offered, with_free=with_free)
    report: dict[str, Any] = {"added": 0, "changed": 0, "unchanged": 0, "odd": 0, "is_stored": False, "changes": []}
    if body["models"]:
        body |= {"dry_run": dry_run} | ({"start": start} if start else {})
        report = terminal.request("POST", "/api/ai/manage/prices", body=body)
    terminal.emit({**report, "left_out": len(left_out), "left_out_why": [f"{name}: {why}" for name, why in list(left_out.items())[:100]]})


@prices.command("list")
@click.argument("model", required=False, default="")
@click.option("--every", is_flag=True, help="Also prices that ended, and those that begin later.")
@click.pass_obj
def list_prices(terminal: Terminal, model: str, every: bool) -> None:
    """List prices in force in millionths of a dollar: for a million tokens or characters, for one image, second or request.

    \b
    Examples:
      luminai ai prices list openai/gpt
      luminai ai prices list openai/gpt-4o --every
    """
    found = _pages(terminal, "/api/ai/manage/prices", {"model": model, **({"every": "true"} if every else {})})
    terminal.emit(found, columns=("model", "unit", "above", "micro", "start", "source"))


@prices.command("check")
@click.pass_obj
def check_prices(terminal: Terminal) -> None:
    """Tell which offered models have no price, and which prices can hardly be meant.

    \b
    Examples:
      luminai ai prices check
    """
    found = terminal.request("GET", "/api/ai/manage/prices/check")
    if terminal.is_tty:
        terminal.say(f"{found['priced']} of {found['offered']} offered models have all their prices; {found['found']} findings.")
        terminal.emit(found["findings"], columns=("kind", "model", "unit", "micro", "said"))
    else:
        terminal.emit(found)


def _pages(terminal: Terminal, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = terminal.request("GET", path, query={"limit": 100, **query, **({"cursor": cursor} if cursor else {})})
        found += page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return found


def _health(terminal: Terminal) -> dict[str, str]:
    """Return how each plugin is, {} to somebody who may not see it."""
    try:
        return {one["id"]: one["state"] for one in terminal.request("GET", "/health/detailed")["plugins"]}
    except HubError:
        return {}


def _price(dollars: dict[str, float]) -> str:
    if "input_tokens" in dollars and "output_tokens" in dollars:
        return f"{dollars['input_tokens']:g} in, {dollars['output_tokens']:g} out"
    return ", ".join(f"{amount:g} {unit}" for unit, amount in dollars.items())
