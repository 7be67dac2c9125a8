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
from sqlalchemy import ColumnElement, String, bindparam, case, exists, insert, literal_column, select, union_all
from sqlalchemy.dialects import postgresql
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
_QUEUED: Final[ColumnElement[str]] = literal_column("'queued'")
_OF_KEY: Final[Any] = next(index for index in jobs.indexes if index.name == "core__jobs_live_idx")
_IF_NONE_IS_LIVE: Final = postgresql.insert(jobs).on_conflict_do_nothing(
    index_elements=_OF_KEY.columns, index_where=_OF_KEY.dialect_options["postgresql"]["where"]
)
_IF_NOT_PUT: Final = postgresql.insert(jobs).on_conflict_do_nothing(index_elements=(jobs.c.plugin, jobs.c.action, jobs.c.once))
_BY_ID: Final = select(events).where(events.c.id.in_(bindparam("ids", expanding=True)))


class Target(Struct, frozen=True):
    """A durable subscription: its plugin, and the name that its jobs run under."""

    plugin: str
    action: str


class FanOut:
    """Puts the jobs of one event for all its durable subscriptions: one statement, built once and sent once."""

    __slots__ = ("_in_order", "_names", "_rest_in_order", "_side_by_side", "_unless_live")

    def __init__(self, targets: Sequence[Target]) -> None:
        self._names = [f"id{number}" for number in range(len(targets))]
        self._side_by_side = _statement(insert(jobs), targets, rule="allow", state=_QUEUED)
        self._in_order = _statement(insert(jobs), targets, rule="queue", state=None)
        self._unless_live = _statement(_IF_NONE_IS_LIVE, targets, rule="queue", state=_QUEUED)
        self._rest_in_order = _statement(_IF_NOT_PUT, targets, rule="queue", state=None)

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
        if not event.key:
            session.execute(self._side_by_side, given)
            return
        given["same"] = event.key
        if session.get_bind().dialect.name != "postgresql":
            session.execute(self._in_order, given)
            return
        # to look for a live job of the key is to have read that page of the index, which others who publish write: one of two would run again, and
        # again. That none is live the index tells without a look; only behind one that is, whose end must be met, it is looked.
        done: Any = session.execute(self._unless_live, given)
        if done.rowcount < len(self._names):
            session.execute(self._rest_in_order, given)


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


def _statement(put: Any, targets: Sequence[Target], *, rule: str, state: ColumnElement[str] | None) -> Any:
    """Return the statement that puts a job for each target.

    Args:
        put: The insert that it fills.
        state: In which they begin; None: queued, or waiting where one of the key is live.
    """
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
    columns |= {"rank": literal_column(str(_RANK)), "wants_cancel": literal_column("false"), "rule": literal_column(f"'{rule}'")}
    same = bindparam("same", type_=jobs.c.same.type)
    if state is None:
        is_live = jobs.c.state.in_([literal_column(f"'{live}'") for live in LIVE])
        one = exists().where(jobs.c.plugin == wanted.c.plugin, jobs.c.action == wanted.c.action, jobs.c.same == same, is_live)
        state = case((one, literal_column("'waiting'")), else_=_QUEUED)
    columns |= {"state": state} if rule == "allow" else {"state": state, "same": same}
    return put.from_select(list(columns), select(*columns.values()))


def _plain(name: str) -> str:
    """Return a name that is written into a statement: ids and names are lower-case words, and nothing else gets there."""
    if not all(sign.isalnum() or sign in "-_." for sign in name) or not name.isascii():
        raise ValueError(f"{name!r} is no plain name")
    return name
