"""What an operator should look at in the process itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from luminai.host.repair_items import Fix, Repair, line_of
from luminai.telemetry.descriptors import open_descriptors
from luminai.telemetry.logs import BURST_LINES, LINES_A_SECOND, flood_gate

if TYPE_CHECKING:
    from luminai.host.hub import Hub


def process_repairs(hub: Hub) -> Iterator[Repair]:
    """Yield what is wrong with how it was started, with its open files, with its log."""
    yield from _starts(hub)
    yield from _descriptors()
    yield from _floods()


def _starts(hub: Hub) -> Iterator[Repair]:
    if hub.safe_mode:
        yield Repair(
            id="safe-mode",
            severity="error",
            title="The hub runs in safe mode",
            cause=hub.safe_mode,
            effect="Only the plugins of hub.safe-plugins run. Nothing in the configuration was changed.",
            fix=Fix(steps=("Correct what keeps the hub from starting; the items below and the log tell.", "Start it again: `luminai serve`.")),
        )
    if hub.faults:
        yield Repair(
            id="left-out",
            severity="error",
            title="The hub runs without what is wrong",
            cause=line_of(hub.faults[0]),
            effect="Settings have their defaults: data folder and database may be others than yours. Without its master key nothing sealed is read.",
            fix=Fix(
                steps=(
                    "Correct each; for the configuration, `luminai config check` tells when all is right.",
                    "Start the hub again: `luminai serve`.",
                )
            ),
            details=tuple(line_of(item) for item in hub.faults[:50]),
        )


def _descriptors() -> Iterator[Repair]:
    found = open_descriptors()
    if found is not None and found.nearly_spent:
        yield Repair(
            id="descriptors",
            severity="warning",
            title="The process may soon open no more files and connections",
            cause=f"{found.open} of {found.limit} descriptors are in use.",
            effect="When they are spent, new connections and file accesses fail.",
            fix=Fix(
                steps=(
                    "The details tell which kind grew; look for the plugin that opened them and did not close them.",
                    "Until that is corrected, restart the hub, or raise the limit of the process (`ulimit -n`).",
                )
            ),
            details=tuple(f"{kind}: {count}" for kind, count in found.kinds.items()),
        )


def _floods() -> Iterator[Repair]:
    for owner, count in sorted(flood_gate.dropped.items(), key=lambda pair: -pair[1])[:50]:
        yield Repair(
            id=f"log-flood:{owner}",
            severity="notice",
            title=f"Lines of {owner} are missing in the log",
            cause=f"It logged more than {BURST_LINES} lines at once or {LINES_A_SECOND:g} a second; {count} were dropped.",
            effect="What it wanted to tell may be missing.",
            fix=Fix(steps=("Tell its author, or raise log.level.",)),
            plugin=owner,
        )
