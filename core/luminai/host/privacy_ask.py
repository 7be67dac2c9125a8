"""Plugins are asked to remove what they hold about somebody, or for an organisation, beside the rows that the data map finds."""

from __future__ import annotations

import logging
from typing import Final, Literal

from msgspec import Struct

from luminai.contracts.runtime import EraseReport
from luminai.data.owners import Acting
from luminai.host.calls import call_within
from luminai.host.privacy_owners import TableOwner, acting_as

_log = logging.getLogger("luminai.privacy")
SECONDS: Final = 300.0
"""For each plugin, and for the transaction that deletes."""


class Asked(Struct, frozen=True):
    """What the plugins said: rows by table, what is kept and why, and which of them failed."""

    erased: dict[str, int]
    kept: dict[str, str]
    failed: dict[str, str]


async def ask_plugins(
    owners: list[TableOwner], hook: Literal["erase_subject", "erase_organisation"], who: str, *, acting: Acting, dry_run: bool
) -> Asked:
    """Ask every plugin that runs and has the hook, about the subject or organisation ``who``; one that fails keeps no other from being asked."""
    asked = Asked({}, {}, {})
    for owner in owners:
        if owner.loaded is None or owner.loaded.hooks is None or hook not in owner.loaded.hooks:
            continue
        try:
            work = owner.loaded.hooks.call(hook, ctx=owner.loaded.context, **{hook.removeprefix("erase_"): who}, dry_run=dry_run)
            with acting_as(acting):
                report = await call_within(SECONDS, work)
            if not isinstance(report, EraseReport):
                raise TypeError(f"it returned a {type(report).__name__}, expected EraseReport")
        except Exception as error:  # noqa: BLE001 - plugin code may raise anything
            _log.exception("privacy.erase.failed", extra={"plugin": owner.id})
            asked.failed[owner.id] = f"its {hook} failed: {type(error).__name__}"
        else:
            asked.erased.update(report.erased)
            asked.kept.update(report.kept)
    return asked
