"""Deliveries of events: one job for each durable subscription, written in the publisher's transaction.

A job that delivers has no input of its own: ``trigger`` and ``once`` name the event, which is read from the log when the job runs. ``once`` is what
makes a second delivery of the same event to the same subscription impossible, so that a replay may cover what was delivered already.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import String, bindparam, case, exists, insert, literal_column, select, union_all
from sqlalchemy.orm import Session

from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.causes import trace_of
from luminai.data.event_log import Published
from luminai.data.ids import new_id
from luminai.data.tables_events import events
from luminai.data.tables_jobs import jobs
from luminai.work.jobs import LIVE

TRIGGER: Final = "event:"
_RANK: Final = 4
_ZERO: Final = {"attempts": 0, "attempts_before": 0, "crashes": 0, "done": 0, "total": 0}
_EMPTY: Final = ("note", "error_code", "error")
_GIVEN: Final = ("subject", "organisation", "actor", "trigger", "run_at", "once", "created_at", "trace")
_BY_ID: Final = select(events).where(events.c.id.in_(bindparam("ids", expanding=True)))


class Target(Struct, frozen=True):
    """A durable subscription: its plugin, and the name that its jobs run under."""

    plugin: str
    action: str


class FanOut:
    """Puts the jobs of one event for all its durable subscriptions: one statement, built once and sent once."""

    __slots__ = ("_in_order", "_names", "_side_by_side")

    def __init__(self, targets: Sequence[Target]) -> None:
        self._names = [f"id{number}" for number in range(len(targets))]
        self._side_by_side = _statement(targets, in_order=False)
        self._in_order = _statement(targets, in_order=True)

    def put(self, session: Session, event: Published, now: datetime) -> None:
        """Put the jobs. Those of an event with a key wait behind the live one of that key."""
        given: dict[str, Any] = {name: new_id("job") for name in self._names}
        given["subject"] = event.owner or HUB_SUBJECT
        given["organisation"] = event.organisation
        given["actor"] = f"plugin:{event.type.partition('.')[0]}"
        given["trigger"] = f"{TRIGGER}{event.id}"
        given["once"] = event.id
        given["trace"] = trace_of(session)
        given["run_at"] = given["created_at"] = now
        if event.key:
            given["same"] = event.key
        session.execute(self._in_order if event.key else self._side_by_side, given)


def event_of(trigger: str) -> str | None:
    """Return the id of the event that a job delivers, None when it is no delivery."""
    return trigger.removeprefix(TRIGGER) if trigger.startswith(TRIGGER) else None


def load(session: Session, ids: Sequence[str]) -> dict[str, Published]:
    """Return events of the log by id; those that are gone are not there."""
    return {row.id: published(row) for row in session.execute(_BY_ID, {"ids": list(ids)})} if ids else {}


def published(row: Any) -> Published:
    """Return a row of the log as it was published."""
    same = ("id", "type", "version", "subject", "owner", "organisation", "key", "correlation", "causation")
    return Published(
        **{name: getattr(row, name) for name in same}, payload=msgspec.json.encode(row.payload), at=row.created_at, number=row.number or 0
    )


def _statement(targets: Sequence[Target], *, in_order: bool) -> Any:
    each: list[Any] = [
        select(
            bindparam(f"id{number}", type_=String()).label("id"),
            literal_column(f"'{_plain(target.plugin)}'").label("plugin"),
            literal_column(f"'{_plain(target.action)}'").label("action"),
        )
        for number, target in enumerate(targets)
    ]
    wanted = union_all(*each).subquery("wanted")
    columns: dict[str, Any] = {"id": wanted.c.id, "plugin": wanted.c.plugin, "action": wanted.c.action}
    columns |= {name: bindparam(name, type_=jobs.c[name].type) for name in _GIVEN}
    columns |= {name: literal_column(str(number)) for name, number in _ZERO.items()} | {name: literal_column("''") for name in _EMPTY}
    columns |= {"rank": literal_column(str(_RANK)), "wants_cancel": literal_column("false")}
    if in_order:
        same = bindparam("same", type_=jobs.c.same.type)
        live = exists().where(
            jobs.c.plugin == wanted.c.plugin,
            jobs.c.action == wanted.c.action,
            jobs.c.same == same,
            jobs.c.state.in_([literal_column(f"'{state}'") for state in LIVE]),
        )
        columns |= {
            "rule": literal_column("'queue'"),
            "same": same,
            "state": case((live, literal_column("'waiting'")), else_=literal_column("'queued'")),
        }
    else:
        columns |= {"rule": literal_column("'allow'"), "state": literal_column("'queued'")}
    return insert(jobs).from_select(list(columns), select(*columns.values()))


def _plain(name: str) -> str:
    """Return a name that is written into a statement: ids and names are lower-case words, and nothing else gets there."""
    if not all(sign.isalnum() or sign in "-_." for sign in name) or not name.isascii():
        raise ValueError(f"{name!r} is no plain name")
    return name
