"""What an operator should look at in what keeps and proves the data: the master key, the audit log, deliveries that were given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from luminai.audit.outside import BEHIND
from luminai.data.tables_webhooks import webhook_inbox as inbox
from luminai.host.repair_items import Fix, Repair

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_BEHIND_STEPS: Final = (
    "`luminai audit verify` tells what is there. If nobody restored a backup, its end was cut off: keep the file of checkpoints, it is the evidence.",
    'If a backup was restored on purpose: `luminai audit accept-restore --reason "…"`. It is recorded, and every verification tells it.',
)


def safety_repairs(hub: Hub) -> Iterator[Repair]:
    """Yield what is wrong with the master key's place, the audit log, and where its checkpoints go."""
    ring = hub.vault.ring
    is_production = hub.settings.hub.environment == "production"
    if is_production and ring.is_file and ring.path.is_relative_to(hub.data_dir):
        yield Repair(
            id="vault::key-beside-data",
            severity="warning",
            title="The master key lies beside the data that it protects",
            cause=f"vault.key-file is {ring.path.name} in the data folder.",
            effect="Whoever copies the data folder can read everything in it.",
            fix=Fix(steps=("Move the file to another volume and name it in vault.key-file, or set LUMINAI_MASTER_KEY.", "Start the hub again.")),
        )
    if hub.sealer.problem:
        yield Repair(
            id="audit::not-sealed",
            severity="error",
            title="The audit log is not sealed",
            cause=hub.sealer.problem,
            effect="New entries are written, but nothing proves yet that they stay as they are.",
            fix=Fix(steps=_BEHIND_STEPS if hub.sealer.problem == BEHIND else ("Correct the cause; `luminai audit verify` shows more.",)),
        )
    place = hub.sealer.places.checkpoints
    is_inside = place.resolve().is_relative_to(hub.data_dir.resolve())
    if not hub.sealer.places.witness_url and (is_inside or (is_production and _shares_volume(place, hub.data_dir))):
        yield Repair(
            id="audit::checkpoints-beside-data",
            severity="warning",
            title="The audit log's checkpoints lie beside the data",
            cause="They are in the data folder." if is_inside else "Their file is on the volume of the data folder.",
            effect="Whoever can change the database can change what would show it.",
            fix=Fix(steps=("Name a file on another volume in audit.checkpoints, or a service in audit.witness-url.", "Start the hub again.")),
        )


async def dead_deliveries(hub: Hub) -> AsyncIterator[Repair]:
    """Yield one item a plugin whose webhooks have deliveries that were tried too often."""
    query = (
        select(inbox.c.plugin, func.count(), func.max(inbox.c.id)).where(inbox.c.state == "dead").group_by(inbox.c.plugin).order_by(inbox.c.plugin)
    )
    for plugin, count, newest in await hub.database.read(lambda session: [tuple(row) for row in session.execute(query)]):
        yield Repair(
            id=f"webhook:{plugin}:dead",
            severity="error",
            title=f"Plugin {plugin} could not handle {count} deliver{'y' if count == 1 else 'ies'}",
            cause="Each was tried as often as it may be; `luminai webhooks show` names its last error.",
            effect="What the service outside told did not happen here.",
            fix=Fix(
                steps=(
                    f"Look at them: `luminai webhooks list --plugin {plugin} --state dead`.",
                    f"When the cause is corrected, have each handled again: `luminai webhooks retry {newest}`.",
                    f"Or give one up: `luminai webhooks discard {newest}`.",
                )
            ),
            plugin=plugin,
        )


def health_steps(plugin: str, name: str) -> tuple[str, ...]:
    """Return what to do about a check that fails; those of the core have no settings that could be tried."""
    if plugin != "core":
        return (f"Check its settings: `luminai config test {plugin}`.",)
    if name == "mail":
        return (
            "`luminai mail list --state waiting` and `luminai mail list --state failed` show the letters with their last error.",
            "Turn a plugin on that sends mail, or correct its settings; then have a letter sent again: `luminai mail retry ID`.",
        )
    if name == "backup":
        return ("Make one now: `luminai backup create`. Look at what should make them: docs/how-to/operate/back-up.md.",)
    if name == "workers":
        return (
            "Start one: `luminai serve --role worker`, with the settings of the others.",
            "Or see why it ended: docs/how-to/operate/many-nodes.md.",
        )
    return ("The hub's log tells more.",)


def _shares_volume(place: Path, data_dir: Path) -> bool:
    there = next((one for one in (place, *place.parents) if one.exists()), None)
    return there is not None and data_dir.exists() and there.stat().st_dev == data_dir.stat().st_dev
