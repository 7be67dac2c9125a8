"""The command group ``luminai docs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from luminai import Terminal


@click.group()
def docs() -> None:
    """Search and read the knowledge base.

    Examples:

    \b
      luminai docs search "what is a generation"
      luminai docs show docs:explanation/generations
      luminai docs list
    """


@docs.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 50), default=10, show_default=True, help="Passages at most.")
@click.pass_obj
def search(terminal: Terminal, text: tuple[str, ...], limit: int) -> None:
    """Find passages that fit TEXT, best first."""
    found = terminal.request("GET", "/api/knowledge/search", query={"q": " ".join(text), "limit": limit}, offline=True)
    if not found["items"]:
        terminal.say("Nothing found.")
    terminal.emit(found["items"], columns=("document_id", "title", "snippet", "url"))


@docs.command()
@click.argument("document_id", metavar="ID")
@click.pass_obj
def show(terminal: Terminal, document_id: str) -> None:
    """Show the document with this ID: its Markdown on a terminal, the whole record as JSON when piped."""
    document = terminal.request("GET", f"/api/knowledge/documents/{document_id}", offline=True)
    if terminal.is_tty:
        terminal.write(f"{document['markdown'].rstrip()}\n")
    else:
        terminal.emit(document)


@docs.command("list")
@click.option("--limit", type=click.IntRange(1, 20_000), default=1_000, show_default=True, help="Documents at most.")
@click.pass_obj
def list_documents(terminal: Terminal, limit: int) -> None:
    """List the documents by id."""
    items: list[dict[str, object]] = []
    cursor: str | None = None
    while len(items) < limit:
        query = {"limit": min(100, limit - len(items))} | ({"cursor": cursor} if cursor else {})
        page = terminal.request("GET", "/api/knowledge/documents", query=query, offline=True)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    terminal.emit(items, columns=("id", "title", "url"))
