"""``luminai db``: on this machine, while no hub runs on the data folder (PostgreSQL: any time)."""

from __future__ import annotations

from typing import Any

import click

from luminai.cli.terminal import HubTerminal


@click.group()
def db() -> None:
    """Migrate the database.

    \b
    Examples:
      luminai db current
      luminai db upgrade
      luminai --output json db current
    """


@db.command()
@click.pass_obj
def current(terminal: HubTerminal) -> None:
    """Show the revision of each owner's tables and what is waiting."""
    from luminai.cli.offline import with_database
    from luminai.data.migrations import current as revisions
    from luminai.data.migrations import pending

    sources = _sources(terminal)

    async def work(database: Any, _: Any) -> list[dict[str, Any]]:
        have, waiting = await revisions(database, sources), await pending(database, sources)
        return [{"owner": one.owner_id, "revision": have[one.owner_id], "waiting": waiting.get(one.owner_id, [])} for one in sources]

    terminal.emit(with_database(terminal.configuration(), work), columns=("owner", "revision", "waiting"))


@db.command()
@click.pass_obj
def upgrade(terminal: HubTerminal) -> None:
    """Apply what is waiting, one transaction a step."""
    from luminai.cli.offline import with_database
    from luminai.data.migrations import pending
    from luminai.data.migrations import upgrade as apply

    sources = _sources(terminal)

    async def work(database: Any, _: Any) -> list[dict[str, Any]]:
        waiting = await pending(database, sources)
        for source in sources:
            if source.owner_id in waiting:
                terminal.say(f"{source.owner_id}: {', '.join(waiting[source.owner_id])}")
                await apply(database, source)
        return [{"owner": owner, "applied": steps} for owner, steps in waiting.items()]

    terminal.emit(with_database(terminal.configuration(), work), columns=("owner", "applied"))


def _sources(terminal: HubTerminal) -> list[Any]:
    from luminai.data.migrations import core_source
    from luminai.host.discovery import installed_plugins
    from luminai.host.sources import source_of

    wanted = terminal.configuration().settings.plugins
    owners = [one for one in installed_plugins() if one.manifest and one.manifest.tables and one.id in wanted and wanted[one.id].enabled]
    return [core_source(), *map(source_of, owners)]
