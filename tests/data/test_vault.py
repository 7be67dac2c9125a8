"""Sealing, destroying and rotating on the real database, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from luminai import HubError, InvalidInput, NotFound
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, upgrade
from luminai.data.tables import core_metadata
from luminai.data.tables_vault import master_keys, subject_keys
from luminai.data.vault.hub_vault import HubVault
from luminai.data.vault.ring import KeyRing
from luminai.data.vault.sealing import PluginVault, SubjectVault
from luminai.data.vault.subject_keys import rewrap
from luminai.telemetry.clock import SystemClock

PLACE = "core__t.c:1"
Work = Callable[[HubDatabase, HubVault], Awaitable[Any]]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone: a database has one set of master keys."""
    url: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return url


both = pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)


def on_vault(url: str, folder: Path, work: Work, *, key: str = "keys/master.key") -> Any:
    """Run ``work(database, vault)`` on a migrated database with a started vault."""

    async def main() -> Any:
        database = await open_database(url, data_dir=folder / "data", clock=SystemClock())
        try:
            await upgrade(database, core_source())
            ring = KeyRing(folder / key)
            ring.reload()
            vault = HubVault(ring, database, SystemClock())
            await vault.start()
            return await work(database, vault)
        finally:
            await database.close()

    return asyncio.run(main())


async def seal(database: HubDatabase, vault: SubjectVault, subject: str, value: bytes = b"private") -> bytes:
    return await database.write(lambda session: vault.seal(session, subject=subject, place=PLACE, value=value))


async def opened(database: HubDatabase, vault: SubjectVault, subject: str, sealed: bytes) -> bytes:
    return await database.read(lambda session: vault.open(session, subject=subject, place=PLACE, sealed=sealed))


async def code_of(work: Awaitable[Any]) -> str:
    """Return the code that ``work`` is refused with, "" when it is not."""
    try:
        await work
    except HubError as error:
        return error.code
    return ""


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a session with the core's tables and a vault with an active key."""
    engine = create_engine("sqlite://")
    core_metadata.create_all(engine)
    ring = KeyRing(tmp_path_factory.mktemp("ring") / "keys" / "master.key")
    now = SystemClock().now()
    with Session(engine) as session:
        session.execute(master_keys.insert().values(id=ring.make().id, state="active", created_at=now, changed_at=now))
        yield session, SubjectVault(ring, SystemClock())
    engine.dispose()


@given(st.binary(max_size=600), st.text(min_size=1, max_size=120), st.text(min_size=1, max_size=300), st.data())
def test_sealed__opens_whole_for_its_subject_and_place__and_for_nothing_else(memory: Any, value: bytes, subject: str, place: str, data: Any) -> None:
    session, vault = memory
    sealed = vault.seal(session, subject=subject, place=place, value=value)
    assert len(sealed) == len(value) + 33
    assert vault.open(session, subject=subject, place=place, sealed=sealed) == value
    assert vault.seal(session, subject=subject, place=place, value=value) != sealed, "a nonce is never used twice"

    spot, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    changed = bytes([*sealed[:spot], sealed[spot] ^ (1 << bit), *sealed[spot + 1 :]])
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    wrong = [(subject, place, changed), (subject, place, cut), (subject, place, sealed + b"\0"), (subject, place + "x", sealed)]
    wrong += [(subject[:-1] + ("b" if subject[-1] != "b" else "c"), place, sealed), (subject + place[:1], place[1:], sealed)]
    for whose, where, what in wrong:
        with pytest.raises(HubError) as refused:
            vault.open(session, subject=whose, place=where, sealed=what)
        assert refused.value.code == "not-sealed-here"


def test_seal__out_of_bounds_or_in_anothers_table__is_refused(memory: Any) -> None:
    session, vault = memory
    own = PluginVault(vault, "quiet-oracle")
    assert own.open(
        session,
        subject="a",
        place="quiet_oracle__t.c:1",
        sealed=own.seal(session, subject="a", place="quiet_oracle__t.c:1", value=b"x"),
    )
    for call in (
        lambda: own.seal(session, subject="a", place="chat__messages.body:1", value=b"x"),
        lambda: own.open(session, subject="a", place="chat__messages.body:1", sealed=b"x" * 40),
        lambda: vault.seal(session, subject="", place=PLACE, value=b"x"),
        lambda: vault.seal(session, subject="a" * 121, place=PLACE, value=b"x"),
    ):
        with pytest.raises(InvalidInput) as refused:
            call()
        assert refused.value.code == "bad-seal"


@both
def test_unit__rolled_back_after_its_first_seal__leaves_no_key_that_is_not_in_the_database(database_url: str, tmp_path: Path) -> None:
    async def work(database: HubDatabase, vault: HubVault) -> None:
        def failing(session: Session) -> None:
            sealed = vault.seal(session, subject="ann", place=PLACE, value=b"lost")
            assert vault.open(session, subject="ann", place=PLACE, sealed=sealed) == b"lost"
            raise LookupError

        def half(session: Session) -> bytes:
            with pytest.raises(LookupError), session.begin_nested():
                failing(session)
            return vault.seal(session, subject="ann", place=PLACE, value=b"kept")

        with pytest.raises(LookupError):
            await database.write(failing)
        # with SQLite's group commit a failing unit stands among others
        answers = await asyncio.gather(
            *(database.write(one) for one in (failing, half, failing, lambda s: vault.seal(s, subject="ann", place=PLACE, value=b"kept"), failing)),
            return_exceptions=True,
        )
        sealed = [one for one in answers if isinstance(one, bytes)]
        assert len(sealed) == 2
        vault.cache.drop("ann")
        assert [await opened(database, vault, "ann", one) for one in sealed] == [b"kept"] * 2

    on_vault(database_url, tmp_path, work)


@both
def test_first_seals__of_one_subject_at_once__share_one_key(database_url: str, tmp_path: Path) -> None:
    async def work(database: HubDatabase, vault: HubVault) -> None:
        sealed = await asyncio.gather(*(seal(database, vault, "ann", b"%d" % number) for number in range(20)))
        assert [await opened(database, vault, "ann", one) for one in sealed] == [b"%d" % number for number in range(20)]
        assert len(await database.read(lambda session: session.execute(select(subject_keys)).all())) == 1

    on_vault(database_url, tmp_path, work)


@both
def test_destroyed__opens_in_no_copy_of_the_database_either(database_url: str, tmp_path: Path) -> None:
    async def before(database: HubDatabase, vault: HubVault) -> tuple[bytes, bytes, list[Any]]:
        ann, bob = await seal(database, vault, "ann"), await seal(database, vault, "bob")
        rows = await database.read(lambda session: [dict(row._mapping) for row in session.execute(select(subject_keys))])
        assert await database.write(lambda session: vault.destroy(session, "ann")) == 1
        await vault.tell()
        assert await code_of(opened(database, vault, "ann", ann)) == "shredded"
        assert await opened(database, vault, "bob", bob) == b"private"
        again = await seal(database, vault, "ann", b"another life")
        assert await opened(database, vault, "ann", again) == b"another life"
        assert await code_of(opened(database, vault, "ann", ann)) == "shredded"
        return ann, bob, rows

    ann, bob, rows = on_vault(database_url, tmp_path, before)
    wrapped = next(row["wrapped"] for row in rows if row["subject"] == "ann")
    if not database_url:
        files = [path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()]
        assert not any(wrapped in content for content in files), "the wrapped key is overwritten in the file and in the log"

    async def restore_older(database: HubDatabase, _: HubVault) -> None:
        def unit(session: Session) -> None:
            session.execute(subject_keys.delete())
            session.execute(subject_keys.insert(), rows)

        await database.write(unit)

    async def after(database: HubDatabase, vault: HubVault) -> None:
        assert await code_of(opened(database, vault, "ann", ann)) == "shredded"
        assert await opened(database, vault, "bob", bob) == b"private"

    on_vault(database_url, tmp_path, restore_older)
    told = (tmp_path / "keys" / "tombstones.txt").read_text()
    assert "ann" not in told, "the file names nobody"
    (tmp_path / "keys" / "tombstones.txt").write_text(told + "dek_0123")  # cut off by a crash
    on_vault(database_url, tmp_path, after)


@both
def test_rotation__broken_off_and_taken_up_again__leaves_one_key_and_the_old_one_opens_nothing(database_url: str, tmp_path: Path) -> None:
    async def begin(database: HubDatabase, vault: HubVault) -> list[bytes]:
        sealed = [await seal(database, vault, f"user_{number}") for number in range(30)]
        (tmp_path / "old.key").write_bytes((tmp_path / "keys" / "master.key").read_bytes())
        (tmp_path / "old.key").chmod(0o600)
        wanted = vault.ring.add_next().id
        await database.write(lambda session: vault._activate(session, wanted))  # here the process dies
        await database.write(lambda session: rewrap(session, vault.ring, 10))
        assert [await opened(database, vault, f"user_{number}", one) for number, one in enumerate(sealed)] == [b"private"] * 30
        return sealed

    sealed = on_vault(database_url, tmp_path, begin)

    async def finish(database: HubDatabase, vault: HubVault) -> None:
        assert await vault.rotate() == 20
        assert await vault.rotate() == 0
        assert len(vault.ring.ids) == 1
        assert [await opened(database, vault, f"user_{number}", one) for number, one in enumerate(sealed)] == [b"private"] * 30
        states = await database.read(lambda session: session.execute(text("SELECT state, count(*) FROM core__master_keys GROUP BY state")).all())
        assert sorted(map(tuple, states)) == [("active", 1), ("destroyed", 1)]

    on_vault(database_url, tmp_path, finish)
    with pytest.raises(HubError) as refused:
        on_vault(database_url, tmp_path, finish, key="old.key")
    assert refused.value.code in ("master-key-wrong", "master-key-missing")

    async def by_force(database: HubDatabase, vault: HubVault) -> None:
        old = KeyRing(tmp_path / "old.key")
        old.reload()
        thief = SubjectVault(old, SystemClock())
        assert {await code_of(opened(database, thief, f"user_{number}", one)) for number, one in enumerate(sealed)} == {"master-key-missing"}
        rows = await database.read(lambda session: session.execute(select(subject_keys)).all())
        from luminai.data.vault.subject_keys import _bound

        for row in rows:
            with pytest.raises(Exception) as failed:  # noqa: PT011 - InvalidTag has no words
                old.find(old.ids[0]).unwrap(bytes(row.wrapped), _bound(row.id, row.subject, row.version))  # type: ignore[union-attr]
            assert type(failed.value).__name__ == "InvalidTag"

    on_vault(database_url, tmp_path, by_force)


@both
def test_data_key__copied_to_another_subject__does_not_open(database_url: str, tmp_path: Path) -> None:
    async def work(database: HubDatabase, vault: HubVault) -> None:
        ann = await seal(database, vault, "ann")
        await seal(database, vault, "eve")

        def swap(session: Session) -> None:
            stolen = session.execute(select(subject_keys.c.wrapped).where(subject_keys.c.subject == "ann")).scalar_one()
            session.execute(subject_keys.update().where(subject_keys.c.subject == "eve").values(wrapped=stolen))

        await database.write(swap)
        assert await code_of(opened(database, vault, "eve", ann)) == "not-sealed-here"
        with pytest.raises(HubError):
            await opened(database, vault, "eve", ann)
        assert await opened(database, vault, "ann", ann) == b"private"

    on_vault(database_url, tmp_path, work)


def test_sealed__of_a_subject_without_a_key__is_not_from_here(memory: Any) -> None:
    session, vault = memory
    sealed = vault.seal(session, subject="ann", place=PLACE, value=b"x")
    with pytest.raises(HubError) as refused:
        vault.open(session, subject="nobody", place=PLACE, sealed=sealed)
    assert not isinstance(refused.value, NotFound)
    assert refused.value.code == "not-sealed-here"
