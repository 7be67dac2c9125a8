"""A look at the vault from outside: also while a hub runs on the data folder, and when it refuses to start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from sqlalchemy import create_engine, func, inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from luminai.contracts.errors import HubError
from luminai.data.driver_errors import keep_values_out
from luminai.data.tables_vault import master_keys, subject_keys
from luminai.data.vault.hub_vault import masters, refusal
from luminai.data.vault.ring import VARIABLE, KeyRing, ring_of
from luminai.data.vault.subject_keys import ACTIVE, DESTROYED, opens
from luminai.data.vault.tombstones import FILE_NAME, read_file

if TYPE_CHECKING:
    from luminai.config.layers import Configuration

T = TypeVar("T")
BATCH = 500


class MasterView(Struct, frozen=True, kw_only=True):
    """A master key. ``state``: next (in the source, wraps nothing yet), active, retiring, destroyed. ``present``: this machine has it."""

    id: str
    state: str
    present: bool
    data_keys: int


class VaultView(Struct, frozen=True, kw_only=True):
    """State of the vault. ``code`` and ``detail`` say why a hub would not start, "" when it would."""

    source: str
    code: str
    detail: str
    hint: str
    master_keys: tuple[MasterView, ...]
    data_keys: int
    destroyed: int
    tombstones: int


class Verdict(Struct, frozen=True, kw_only=True):
    """What ``verify`` found. ``broken`` names data keys that do not open (at most 100), ``revived`` those that a tombstone says are destroyed."""

    checked: int
    broken: tuple[str, ...]
    revived: tuple[str, ...]


def read_outside(config: Configuration, unit: Callable[[Session], T]) -> T | None:
    """Run a unit that only reads on the configured database; None when there is none yet.

    Raises:
        HubError: it does not answer.
    """
    url = config.settings.database.url
    if not url:
        return _read_sqlite(config.data_dir, unit)
    import asyncio

    from luminai.data.database import open_database
    from luminai.telemetry.clock import SystemClock

    async def run() -> T:
        database = await open_database(url, data_dir=config.data_dir, clock=SystemClock())
        try:
            return await database.read(unit, timeout=60)
        finally:
            await database.close()

    return asyncio.run(run())


def look(config: Configuration) -> VaultView:
    """Return the state of the vault. A key file that is refused is part of the answer, not an error."""
    ring, refused = _ring(config)
    known = read_outside(config, _counts)
    states, counts, destroyed = known or ({}, {}, 0)
    present = set(ring.ids) if ring else set()
    if refused is None and ring is not None and known is not None:
        refused = read_outside(config, lambda session: refusal(ring, masters(session)) if _has_tables(session) else None)
    views = [MasterView(id=one, state=states[one], present=one in present, data_keys=counts.get(one, 0)) for one in states]
    views += [MasterView(id=one, state="next", present=True, data_keys=0) for one in (ring.ids if ring else ()) if one not in states]
    told = read_file((ring.path if ring else config.data_dir / "keys" / FILE_NAME).with_name(FILE_NAME))
    return VaultView(
        source=f"variable {VARIABLE}" if ring and not ring.is_file else f"file {ring.path if ring else ''}".strip(),
        code=refused.code if refused else "",
        detail=refused.detail if refused else "",
        hint=refused.hint if refused else "",
        master_keys=tuple(views),
        data_keys=sum(counts.values()),
        destroyed=destroyed,
        tombstones=len(told),
    )


def verify(config: Configuration) -> Verdict:
    """Unwrap every data key, and look for keys that should be destroyed.

    Raises:
        HubError: the master key cannot be read.
    """
    ring = ring_of(config)
    told = read_file(ring.path.with_name(FILE_NAME))

    def unit(session: Session) -> Verdict:
        broken: list[str] = []
        revived: list[str] = []
        checked = 0
        if _has_tables(session):
            query = select(subject_keys).where(subject_keys.c.state == ACTIVE).execution_options(yield_per=BATCH)
            for row in session.execute(query):
                checked += 1
                if row.id in told:
                    revived.append(row.id)
                if len(broken) < 100 and not opens(row, ring):
                    broken.append(row.id)
        return Verdict(checked=checked, broken=tuple(broken), revived=tuple(revived[:100]))

    return read_outside(config, unit) or Verdict(checked=0, broken=(), revived=())


def _ring(config: Configuration) -> tuple[KeyRing | None, HubError | None]:
    try:
        return ring_of(config), None
    except HubError as refused:
        return None, refused


def _counts(session: Session) -> tuple[dict[str, str], dict[str, int], int] | None:
    if not _has_tables(session):
        return None
    states = {row.id: row.state for row in session.execute(select(master_keys).order_by(master_keys.c.created_at))}
    query = select(subject_keys.c.master_key, func.count()).where(subject_keys.c.state == ACTIVE).group_by(subject_keys.c.master_key)
    counts = {row[0]: int(row[1]) for row in session.execute(query)}
    gone = session.execute(select(func.count()).select_from(subject_keys).where(subject_keys.c.state == DESTROYED)).scalar_one()
    return states, counts, gone


def _has_tables(session: Session) -> bool:
    return inspect(session.connection()).has_table(subject_keys.name)


def _read_sqlite(data_dir: Path, unit: Callable[[Session], T]) -> T | None:
    from luminai.data.sqlite import FILE_NAME as DATABASE

    path = data_dir / DATABASE
    if not path.exists():
        return None
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=NullPool)
    keep_values_out(engine)
    try:
        with Session(engine) as session:
            return unit(session)
    finally:
        engine.dispose()
