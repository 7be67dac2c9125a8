"""Rows that belong to somebody: who acts, and that every statement stays within the rows of that one.

A table says once which column names the owner: ``Table(…, info={"owner": "subject"})``, or the organisation: ``info={"tenant": "organisation"}``. In
a unit of work a statement that touches such a table must compare that column with whoever acts, or with the organisation that is acted for;
one that does not is refused before it reaches the database (``data/owned_statements.py`` tells how that is seen). So a forgotten condition is an
error at the first call, and not somebody else's row. What is covered: ``docs/decisions/0005``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct
from sqlalchemy import Engine, Select, and_, event
from sqlalchemy.dialects import registry
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.orm.attributes import get_history

from luminai.contracts.errors import Forbidden, HubError
from luminai.data.owned_statements import INFO, Rule, claims_of, rule_of, rule_of_text

T = TypeVar("T")


class Acting(Struct, frozen=True):
    """For whom work is done: a ``subject``, and the ``organisation`` that it acts for, each "" for none."""

    subject: str
    organisation: str = ""


NOBODY: Final = Acting("")
"""Acts where nothing says who does: no owned row is there for it."""

_FOR_ALL: Final = "goes through ctx.db.as_system(), in the core it is named in data/unconfined.py"

acting: Final[ContextVar[Acting]] = ContextVar("luminai_acting", default=NOBODY)
"""For whom this task works. The guard sets it for a request; a task that a request starts inherits it."""


class Unsaid(Enum):
    """Whose rows a unit sees was not said."""

    UNSAID = auto()


UNSAID: Final[Literal[Unsaid.UNSAID]] = Unsaid.UNSAID


class OwnerFilterMissing(HubError):
    """A statement would reach rows of others. The fault is in its code: the traceback tells where and why, clients only that there was one."""

    status, default_code, title = 500, "owner-filter-missing", "Internal error"

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__("A statement asked for rows without naming their owner.", hint="The traceback in the hub's log tells where.")
        self.add_note(f"{reason} {remedy}")


class _Unit:
    """A confined unit of work that runs now."""

    __slots__ = ("is_flushing", "whose")

    def __init__(self, whose: Acting) -> None:
        self.whose = whose
        self.is_flushing = False


_running: Final[ContextVar[_Unit | None]] = ContextVar("luminai_unit", default=None)


def unit_acts_for() -> Acting:
    """Return for whom the unit of work that calls this is done; it runs in a thread that knows nothing of ``acting``."""
    unit = _running.get()
    return unit.whose if unit is not None else NOBODY


def within(whose: Acting, unit: Callable[[Session], T]) -> Callable[[Session], T]:
    """Return the unit, confined to the rows of ``whose``."""

    def confined(session: Session) -> T:
        token = _running.set(_Unit(whose))
        try:
            result = unit(session)
            session.flush()  # what the session still holds back is checked too
            return result
        finally:
            _running.reset(token)

    return confined


def check(query: Select[Any], dialect: str, whose: Acting) -> None:
    """Refuse a query that is not confined to ``whose``.

    Raises:
        OwnerFilterMissing: it reads owned rows without comparing their owner with ``whose``.
        Forbidden: it reads rows of an organisation, and ``whose`` acts for none (code ``organisation-needed``).
    """
    compiled: Any = query.compile(dialect=registry.load(dialect)())
    _confine(rule_of(compiled), [compiled.params], whose)


def keep_owners_apart(engine: Engine) -> None:
    """Have every statement that goes through the engine checked, while a confined unit runs."""
    for moment in ("do_execute", "do_executemany"):  # events of the dialect: a listener of the engine itself costs several times as much
        event.listen(engine, moment, _look_at)
    event.listen(engine, "do_execute_no_params", lambda cursor, statement, context: _look_at(cursor, statement, None, context))


def _look_at(_: Any, statement: str, __: Any, context: Any) -> None:
    unit = _running.get()
    if unit is None:  # everybody's
        return
    compiled = context.compiled
    rule = rule_of(compiled) if compiled is not None else rule_of_text(statement)
    if rule is None or (unit.is_flushing and rule.is_change):
        return
    _confine(rule, context.compiled_parameters if compiled is not None else (), unit.whose)


def judge(rule: Rule | None, given: Mapping[str, Any]) -> None:
    """Refuse a statement that breaks its rule, while a confined unit runs. Raises as ``check``."""
    if rule is not None and (unit := _running.get()) is not None:
        _confine(rule, (given,), unit.whose)


def _confine(rule: Rule | None, parameters: Any, whose: Acting) -> None:
    if rule is None:
        return
    if rule.fault:
        hint = f"Compare {rule.column} with the actor's subject (an owner) or organisation (a tenant); work for all {_FOR_ALL}."
        raise OwnerFilterMissing(rule.fault, hint)
    if whose == NOBODY or (rule.names and not whose.subject):
        hint = f"Outside of a request say for whom, ctx.db.as_subject(…); work for all {_FOR_ALL}."
        raise OwnerFilterMissing(f"{rule.table} is asked for while nobody acts.", hint)
    for given in parameters:
        if not (_is_all(given, rule.names, whose.subject) and _is_all(given, rule.tenants, whose.organisation)):
            hint = f"Compare {rule.column} with the actor's own subject (an owner) or organisation (a tenant), and insert only under it."
            raise OwnerFilterMissing(f"{rule.table} is asked for in the name of somebody else.", hint)
    if rule.tenants and not whose.organisation:
        raise _organisation_needed()


def _is_all(given: Mapping[str, Any], names: Iterable[str], value: str) -> bool:
    for name in names:  # noqa: SIM110 - each statement comes by here, and a generator costs as much as the rest of it
        if given.get(name) != value:
            return False
    return True


def _organisation_needed() -> Forbidden:
    hint = "PUT /api/auth/organisation enters one of those that GET /api/organisations lists; a key acts for the one in which it was made."
    return Forbidden("This belongs to organisations, and you act for none.", code="organisation-needed", hint=hint)


@event.listens_for(Mapper, "after_mapper_constructed")
def _mapped(mapper: Mapper[Any], _: Any) -> None:
    """Listen to the statements of sessions from the first mapped class with an owner on; for the many hubs without one they stay quicker."""
    if claims_of(mapper.local_table) and not event.contains(Session, "do_orm_execute", _add_criteria):
        event.listen(Session, "do_orm_execute", _add_criteria)


def _add_criteria(state: ORMExecuteState) -> None:
    """Add the conditions of owner and tenant to statements over mapped classes."""
    unit = _running.get()
    if unit is None or not state.is_orm_statement or state.bind_mapper is None or unit.whose == NOBODY:
        return
    for mapper in state.bind_mapper.registry.mappers:  # all, for a join may lead to any of them
        claims = claims_of(mapper.local_table)
        if claims:
            statement: Any = state.statement
            mine = and_(*(mapper.get_property_by_column(column).class_attribute == _value(unit.whose, claim) for claim, column in claims.items()))
            if not state.is_column_load:
                state.statement = statement.options(with_loader_criteria(mapper, mine, include_aliases=True))
            elif mapper is state.bind_mapper:  # attributes of an object that is there: options do not reach this query
                state.statement = statement.where(mine)


@event.listens_for(Session, "before_flush")
def _flush_begins(_: Session, __: Any, ___: Any) -> None:
    if (unit := _running.get()) is not None:
        unit.is_flushing = True


@event.listens_for(Session, "after_flush")
@event.listens_for(Session, "after_soft_rollback")
def _flush_ended(_: Session, __: Any) -> None:
    if (unit := _running.get()) is not None:
        unit.is_flushing = False


@event.listens_for(Mapper, "before_insert")
@event.listens_for(Mapper, "before_update")
@event.listens_for(Mapper, "before_delete")
def _check_object(mapper: Mapper[Any], _: Any, target: Any) -> None:
    """Refuse to write an object of somebody else, or to give one away: a flush names rows by their key alone."""
    unit = _running.get()
    if unit is None:
        return
    for claim, column in claims_of(mapper.local_table).items():
        history = get_history(target, mapper.get_property_by_column(column).key)
        values, own = {*history.added, *history.unchanged, *history.deleted}, _value(unit.whose, claim)
        if values != {own} or (not own and (claim == INFO or unit.whose == NOBODY)):
            hint = "Write only rows of the actor's own subject and organisation."
            raise OwnerFilterMissing(f"A row of {mapper.local_table} would be written for somebody else.", hint)
        if not own:
            raise _organisation_needed()


def _value(whose: Acting, claim: str) -> str:
    """Return what a column of owner or tenant must hold."""
    return whose.subject if claim == INFO else whose.organisation
