"""Rooms of several processes: what is said in one is heard, and found again, in the other; and what becomes of it while Redis is away."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from home import LUMINAI, Home, serving
from http_rooms import CONFIG, Refused, Square, hear, install, subscribe

from luminai.contracts.errors import Unavailable
from luminai.http.rooms.log import Kept, MemoryLog, RoomLog
from luminai.http.rooms.messages import Message
from luminai.http.rooms.redis_log import RedisLog
from luminai.telemetry.clock import SystemClock
from luminai.testing import FrozenClock

KEPT = Kept(3, 60.0)


@contextmanager
def another(home: Home) -> Iterator[str]:
    """Serve the same hub in a second process; yield its address."""
    command = [LUMINAI, "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = next(line for line in process.stderr if "ready at" in line)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        try:
            yield said.split("ready at ")[1].split()[0]
        finally:
            process.send_signal(signal.SIGTERM)
            drain.join()


@pytest.mark.shows("LW-68")
@pytest.mark.postgres
def test_two_processes__are_one_room(own_postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    install(tmp_path / "site")
    settings = {"LUMINAI_DATABASE__URL": own_postgres_url, "LUMINAI_LIVE__REDIS_URL": redis_url, "LUMINAI_LIMITS__ENABLED": "false"}
    with serving(tmp_path / "home", config=CONFIG, PYTHONPATH=str(tmp_path / "site"), **settings) as home, another(home) as second:
        square, room = Square(home), f"square.hall.{uuid4().hex}"
        _, key = square.key()
        with square.follow(room) as here, square.follow(room, url=second) as there, square.enter(key, url=second) as socket:
            start = next(here)[0]
            assert next(there)[0] == subscribe(socket, room) == start
            for number, url in enumerate((square.url, second, second, square.url)):
                square.say(room, {"n": number}, url=url)
            heard = [[next(stream) for _ in range(4)] for stream in (here, there)]
            assert [hear(socket)["id"] for _ in range(4)] == [id_ for id_, _, _ in heard[0]]
            assert heard[0] == heard[1]
            assert sorted(data["n"] for _, _, data in heard[0]) == [0, 1, 2, 3]
            with square.follow(room, heard[0][1][0], url=second) as again:  # in the other process than it was heard in
                assert [next(again) for _ in range(3)][1:] == heard[0][2:]

            at = square.poll(room)["last"]
            for how in ("all", "part", "none"):
                assert square.ask("POST", f"/api/square/unit?room={room}&how={how}", url=second).status_code == (500 if how == "all" else 201)
            said = [next(here)[2]["text"] for _ in range(3)]
            assert said == [event["data"]["text"] for event in square.poll(room, at)["events"]] == ["whole", "other part", "whole"]
            assert [hear(socket)["kind"] for _ in range(3)] == [next(there)[1] for _ in range(3)] == ["said"] * 3

            who = f"{room.rpartition('.')[2]}:{square.ask('GET', '/api/auth/verify').json()['subject']}"
            assert square.ask("POST", f"/api/square/put-out?room={room}&who={who}&tell=false", url=second).status_code == 201
            assert square.ask("POST", f"/api/square/put-out?room={room}").status_code == 201
            assert next(there)[1] == "closed"
            assert hear(socket)["problem"]["code"] == "unknown-room"
            with pytest.raises(Refused), square.follow(room, url=second):
                pass


def in_log(log: RoomLog, work: Callable[[list[Message], asyncio.Event], object]) -> None:
    """Run ``work`` while the log hears."""

    async def main() -> None:
        heard: list[Message] = []
        resumed = asyncio.Event()
        log.heard, log.resumed = heard.append, resumed.set
        running = asyncio.create_task(log.run())
        try:
            async with asyncio.timeout(60):
                await work(heard, resumed)  # type: ignore[misc]
        finally:
            running.cancel()
            await log.close()

    asyncio.run(main())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - what is waited for is another thread's, or another process's
        await asyncio.sleep(0.01)


async def number_of(heard: list[Message], count: int) -> list[bytes]:
    """Wait until so many messages were heard."""
    await until(lambda: len(heard) >= count)
    return [message.data for message in heard]


@pytest.fixture(params=["memory", "redis"])
def make_log(request: pytest.FixtureRequest) -> Callable[[], RoomLog]:
    """Return what makes a log of its own."""
    if request.param == "memory":
        return lambda: MemoryLog(SystemClock())
    url = request.getfixturevalue("redis_url")
    return lambda: RedisLog(url, uuid4().hex)


def test_log__keeps_the_last_messages__and_tells_what_is_missing(make_log: Callable[[], RoomLog]) -> None:
    log = make_log()

    async def work(heard: list[Message], resumed: asyncio.Event) -> None:
        if isinstance(log, RedisLog):
            await resumed.wait()  # it listens from now on
        start = (await log.after("a.b", None, KEPT)).now
        for number in range(5):
            log.append("a.b", "k", b"%d" % number, KEPT)
        assert await number_of(heard, 5) == [b"0", b"1", b"2", b"3", b"4"]
        places = [message.at for message in heard]
        assert places == [(start.epoch, start.seq + number) for number in range(1, 6)]
        found = await log.after("a.b", places[1], KEPT)
        assert ([message.data for message in found.messages], found.is_whole, found.now) == ([b"2", b"3", b"4"], True, places[4])
        assert not (await log.after("a.b", places[0], KEPT)).is_whole
        assert not (await log.after("a.b", places[4]._replace(seq=9), KEPT)).is_whole
        assert not (await log.after("a.b", places[4]._replace(epoch=9), KEPT)).is_whole
        log.append("a.b", "", b"{}", KEPT)  # a gap
        await number_of(heard, 6)
        assert not (await log.after("a.b", places[4], KEPT)).is_whole
        assert (await log.after("a.b", heard[5].at, KEPT)).is_whole

    in_log(log, work)


def test_log__of_another_hub_in_the_same_redis__is_another(redis_url: str) -> None:
    log, other = RedisLog(redis_url, uuid4().hex), RedisLog(redis_url, uuid4().hex)

    async def work(heard: list[Message], resumed: asyncio.Event) -> None:
        theirs: list[Message] = []
        listens = asyncio.Event()
        other.heard, other.resumed = theirs.append, listens.set
        running = asyncio.create_task(other.run())
        await asyncio.gather(resumed.wait(), listens.wait())
        for number in range(3):
            log.append("a.b", "k", b"%d of ours" % number, KEPT)
            await number_of(heard, number + 1)
            other.append("a.b", "k", b"%d of theirs" % number, KEPT)
            await number_of(theirs, number + 1)
        assert not (await other.after("a.b", heard[0].at, KEPT)).is_whole
        running.cancel()
        await other.close()
        assert [message.data for message in heard + theirs] == [
            b"%d of %b" % (number, whose) for whose in (b"ours", b"theirs") for number in range(3)
        ]

    in_log(log, work)


def test_memory__forgets_rooms_that_were_quiet__and_never_takes_an_old_id_for_a_new_one() -> None:
    clock = FrozenClock()
    log = MemoryLog(clock)

    async def work(heard: list[Message], _: asyncio.Event) -> None:
        log.append("a.b", "k", b"1", KEPT)
        before = heard[0].at
        clock.advance(61)
        log.append("a.b", "k", b"2", KEPT)
        found = await log.after("a.b", before, KEPT)
        assert (found.messages, found.is_whole) == ((), False)
        assert found.now > before
        for number in range(3000):  # more than all rooms may hold together
            log.append(f"a.{number}", "k", b"x" * 16_000, KEPT)
        assert not (await log.after("a.b", found.now, KEPT)).is_whole
        assert (await log.after("a.2999", heard[-1].at, KEPT)).is_whole

    in_log(log, work)


def test_end__in_the_middle_of_telling_and_hearing__is_an_end(redis_url: str) -> None:
    async def main() -> None:
        log = RedisLog(redis_url, uuid4().hex)
        resumed = asyncio.Event()
        log.resumed = resumed.set
        for turns in range(40):
            resumed.clear()
            running = asyncio.create_task(log.run())
            await asyncio.wait_for(resumed.wait(), 20)
            for number in range(5):
                log.append("a.b", "k", b"%d" % number, KEPT)
            for _ in range(turns % 12):  # so that it meets each place of a call
                await asyncio.sleep(0)
            running.cancel()
            assert (await asyncio.wait([running], timeout=20))[0], f"it goes on after {turns} turns"
        await log.close()

    asyncio.run(main())


def test_redis_away__messages_wait_and_readers_hear_that_something_may_be_missing(tmp_path: Path) -> None:
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("no redis-server to stop and start")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = RedisLog(f"redis://127.0.0.1:{port}/0", "away")

    def serve() -> subprocess.Popen[bytes]:
        options = ["--port", str(port), "--save", "", "--dir", str(tmp_path), "--daemonize", "no"]
        return subprocess.Popen([command, *options], stdout=subprocess.DEVNULL)

    async def work(heard: list[Message], resumed: asyncio.Event) -> None:
        log.append("a.b", "k", b"early", KEPT)
        with pytest.raises(Unavailable) as away:
            await log.after("a.b", None, KEPT)
        assert away.value.code == "live-away"
        with serve() as process:
            await resumed.wait()
            start = (await log.after("a.b", None, KEPT)).now
            while start.seq == 0:
                start = (await log.after("a.b", None, KEPT)).now
            process.terminate()
        resumed.clear()
        heard.clear()
        log.append("a.b", "k", b"meanwhile", KEPT)
        await until(lambda: log.is_away)
        with serve() as process:
            await resumed.wait()
            found = (await log.after("a.b", None, KEPT)).now
            while found.seq == 0:
                found = (await log.after("a.b", None, KEPT)).now
            assert found.epoch > start.epoch  # that Redis kept nothing
            process.terminate()

    in_log(log, work)
