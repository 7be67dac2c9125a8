"""What a statement says about the owners and tenants of the rows that it touches.

A statement is looked at once, when it was compiled; SQLAlchemy keeps compiled statements, and the finding is kept with them. Conservative: what is
not understood counts as a fault. Each SELECT, also one inside of another, must by itself confine each owned table that it reads, by ``AND`` or
through an equal owner column of a confined table. A table may name an owner (a person), a tenant (an organisation), or both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Column, Delete, Insert, Join, Select, Table, Update, event
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping, TextClause
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping, TableClause

INFO: Final = "owner"
"""The key in ``Table.info`` that names the owner's column."""
TENANT: Final = "tenant"
"""The key in ``Table.info`` that names the column of the organisation whose row it is."""
CLAIMS: Final = (INFO, TENANT)
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*__[a-z0-9_]+")
_KEPT: Final = "luminai_owner_rule"

owned_tables: Final[dict[str, str]] = {}
"""The columns of owner and tenant of each owned table that this process knows, by name: SQL written by hand can only be told by names."""


class Rule(Struct, frozen=True):
    """What a statement must obey.

    Attributes:
        table: The owned table, or one of them.
        column: Its columns of owner and tenant, with the table's name.
        names: Parameters that must all be given, and be the owner.
        tenants: Those that must be the tenant.
        fault: Why the statement cannot be confined at all, "" when it can.
        is_change: Whether it is an INSERT, UPDATE or DELETE.
    """

    table: str
    column: str
    names: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    fault: str = ""
    is_change: bool = False


class _Names(dict[str, set[str]]):
    """Parameters that columns of owners and tenants are compared with, by claim."""

    def __init__(self) -> None:
        super().__init__({claim: set() for claim in CLAIMS})


class _NotConfinedError(Exception):
    def __init__(self, table: Any, reason: str) -> None:
        super().__init__(reason)
        self.table = table


@event.listens_for(Table, "after_parent_attach")
def _note(table: Table, _: Any) -> None:
    named = [table.info[claim] for claim in CLAIMS if claim in table.info]
    if named:
        owned_tables[table.name] = " and ".join(named)


def owned_by(table: Any, claim: str = INFO) -> Column[Any] | None:
    """Return the owner's (or tenant's) column of a table or of an alias of one; None when its rows belong to nobody."""
    inner = table.element if isinstance(table, AliasedReturnsRows) else table
    if isinstance(inner, Table) and claim in inner.info:
        column: Column[Any] = table.c[inner.info[claim]]
        return column
    return None


def claims_of(table: Any) -> dict[str, Column[Any]]:
    """Return the columns that say whose the rows of a table, or of an alias of one, are, by claim; {} when they are nobody's."""
    return {claim: column for claim in CLAIMS if (column := owned_by(table, claim)) is not None}


def rule_of(compiled: Any) -> Rule | None:
    """Return what a compiled statement must obey; None when it touches nothing owned."""
    kept = compiled.__dict__.get(_KEPT, compiled)
    if kept is compiled:
        kept = _rule_of(compiled)
        compiled.__dict__[_KEPT] = kept
    found: Rule | None = kept
    return found


def rule_of_text(statement: str) -> Rule | None:
    """Return a rule that refuses SQL written by hand when it names an owned table."""
    for name in _named(statement):
        if name in owned_tables:
            return Rule(name, f"{name}.{owned_tables[name]}", fault=f"SQL written by hand touches {name}.")
    return None


@lru_cache(1000)
def _named(statement: str) -> tuple[str, ...]:
    """Return the names in a statement that look like tables; kept, for programs run the same few texts and looking costs as much as running one."""
    return tuple(_NAME.findall(statement.lower()))


def _rule_of(compiled: Any) -> Rule | None:
    state = getattr(compiled, "compile_state", None)
    statement = compiled.statement if state is None else state.statement  # for mapped classes the one with all conditions
    is_change = isinstance(statement, Insert | Update | Delete)
    met: set[Any] = set()
    done: set[Any] = set()
    names = _Names()
    try:
        for element in visitors.iterate(statement):
            if isinstance(element, Select):
                _select(element, compiled, done, names)
            elif isinstance(element, Update | Delete):
                _change(element, compiled, done, names)
            elif isinstance(element, Insert):
                _insert(element, compiled, done, names)
            met.update(_owned_in(element))
        for table in met - done:
            raise _NotConfinedError(table, "is read in a way that is not understood")
    except _NotConfinedError as found:
        name, column = _names_of(found.table)
        return Rule(name, column, fault=f"{name} {found}.", is_change=is_change)
    if done:
        name, column = _names_of(next(iter(done)))
        return Rule(name, column, frozenset(names[INFO]), frozenset(names[TENANT]), is_change=is_change)
    return rule_of_text(compiled.string)


def _owned_in(element: Any) -> Iterator[Any]:
    """Yield the owned tables that one element of a statement stands for; text in it that names one cannot be confined."""
    if isinstance(element, TextClause) or (isinstance(element, ColumnClause) and element.is_literal):
        text = element.text if isinstance(element, TextClause) else element.name
        if (rule := rule_of_text(str(text))) is not None:
            raise _NotConfinedError(rule.table, "is named in SQL written by hand")
    elif isinstance(element, TableClause) and not isinstance(element, Table) and element.name in owned_tables:
        raise _NotConfinedError(element.name, "is named without its declaration")
    elif isinstance(element, ColumnClause):
        if claims_of(element.table):
            yield element.table
    elif isinstance(element, AliasedReturnsRows) and claims_of(element):
        yield element


def _select(select: Any, compiled: Any, done: set[Any], names: _Names) -> None:
    equal: list[tuple[Any, Any, frozenset[Any]]] = []
    tables: list[Any] = []
    for source in select.get_final_froms():
        tables += _leaves(source, equal)
    equal += [(left, right, frozenset(tables)) for left, right in _equalities(select._where_criteria)]  # noqa: SLF001 - `whereclause` makes one of all
    _confine(compiled, tables, equal, names)
    done.update(tables)


def _change(statement: Any, compiled: Any, done: set[Any], names: _Names) -> None:
    claims = claims_of(statement.table)
    if not claims:
        return
    if isinstance(statement, Update):
        given = [*(statement._values or ()), *(compiled.column_keys or ())]  # noqa: SLF001 - there is no public way
        changed = {getattr(one, "key", one) for one in given}
        if any(column.key in changed for column in claims.values()):
            raise _NotConfinedError(statement.table, "would be given another owner")
    table = statement.table
    _confine(compiled, [table], [(left, right, frozenset([table])) for left, right in _equalities(statement._where_criteria)], names)  # noqa: SLF001
    done.add(table)


def _insert(statement: Any, compiled: Any, done: set[Any], names: _Names) -> None:
    table = statement.table
    claims = claims_of(table)
    if not claims:
        return
    if statement.select is not None:
        raise _NotConfinedError(table, "is filled from a query")
    rows = sum(len(rows) for rows in statement._multi_values)  # noqa: SLF001 - there is no public way
    for claim, column in claims.items():
        names[claim] |= {f"{column.key}_m{number}" for number in range(rows)} if rows else {column.key}
    conflict = statement._post_values_clause  # noqa: SLF001
    if hasattr(conflict, "update_values_to_set"):
        kept = {column.key for column in claims.values()}
        if any(getattr(key, "key", key) in kept for key in conflict.update_values_to_set):
            raise _NotConfinedError(table, "would be given another owner on conflict")
        equal = [(left, right, frozenset([table])) for left, right in _equalities([conflict.update_whereclause])]
        _confine(compiled, [table], equal, names)
    done.add(table)


def _leaves(source: Any, equal: list[tuple[Any, Any, frozenset[Any]]]) -> list[Any]:
    """Return the owned tables of a FROM, and note the equalities of its joins with the tables that each of them confines."""
    if isinstance(source, FromGrouping):
        return _leaves(source.element, equal)
    if isinstance(source, Join):
        left, right = _leaves(source.left, equal), _leaves(source.right, equal)
        confined = [] if source.full else right if source.isouter else [*left, *right]
        equal += [(one, other, frozenset(confined)) for one, other in _equalities([source.onclause])]
        return [*left, *right]
    return [source] if claims_of(source) else []


def _equalities(clauses: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield both sides of every ``=`` that must hold for a row to be taken."""
    for clause in clauses:
        if isinstance(clause, Grouping):
            yield from _equalities([clause.element])
        elif isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
            yield from _equalities(clause.clauses)
        elif isinstance(clause, BinaryExpression) and clause.operator is operators.eq:
            yield clause.left, clause.right


def _confine(compiled: Any, tables: list[Any], equal: Iterable[tuple[Any, Any, frozenset[Any]]], names: _Names) -> None:
    """Note the parameters that the columns of owners and tenants of all ``tables`` are compared with.

    Raises:
        _NotConfinedError: one of them is compared with none.
    """
    sides = [(one, other, confines) for left, right, confines in equal for one, other in ((left, right), (right, left))]
    for claim in CLAIMS:
        open_tables, closed = [table for table in tables if owned_by(table, claim) is not None], set[Any]()
        while open_tables:
            for table in open_tables:
                links = [other for one, other, confines in sides if table in confines and _is_claim(one, table, claim)]
                given = {compiled.bind_names[other] for other in links if other in compiled.bind_names}
                if given or any(_is_claim(other, sure, claim) for other in links for sure in closed):
                    names[claim] |= given
                    closed.add(table)
                    open_tables.remove(table)
                    break
            else:
                raise _NotConfinedError(open_tables[0], f"is asked for without comparing its {claim}")


def _is_claim(side: Any, table: Any, claim: str) -> bool:
    column = owned_by(table, claim)
    return column is not None and isinstance(side, ColumnClause) and side.key == column.key and side.table == table


def _names_of(table: Any) -> tuple[str, str]:
    if isinstance(table, str):
        return table, f"{table}.{owned_tables.get(table, 'owner')}"
    inner: Any = table.element if isinstance(table, AliasedReturnsRows) else table
    return inner.name, f"{inner.name}.{owned_tables[inner.name]}"
