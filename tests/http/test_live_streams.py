"""Streams and sockets of a served hub end when their right does, are opened by tickets, and are counted however they end."""

from __future__ import annotations

import signal
import socket as sockets
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from home import LUMINAI, Home, serving
from permissions.live_plugin import CONFIG, FOLLOW, HALL, ROOM, STUBBORN, closing, enter, install
from websockets.exceptions import InvalidStatus

PASSWORD = "nine wooden ladders"
MOST, MOST_OF_NOBODY = 10, 20
QUIET = {"LUMINAI_LIMITS__ENABLED": "false", "LUMINAI_LOG__LEVEL": "debug", "LUMINAI_IDENTITY__VERIFY_EMAIL": "off"}


class Server:
    """A served hub, and what its clients do."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.url = home.env["LUMINAI_URL"]
        self.operator = home.data("keys", "create", "--name", "operator", "--scope", "*")["key"]

    def key(self) -> tuple[str, str]:
        """Return id and text of a key that may listen."""
        made = self.home.data("keys", "create", "--name", "listener", "--scope", "live:listen")
        return made["id"], made["key"]

    def ask(self, method: str, path: str, body: Any = None, *, credential: str = "", **headers: str) -> httpx.Response:
        sent = {**headers, "Authorization": f"Bearer {credential or self.operator}"}
        return httpx.request(method, self.url + path, json=body, headers=sent, timeout=30)

    def ticket(self, path: str, credential: str, **headers: str) -> str:
        answer = self.ask("POST", "/api/auth/ticket", {"path": path}, credential=credential, **headers)
        assert answer.status_code == 201, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["expires_in_seconds"] == 30
        return str(answer.json()["ticket"])

    def person(self, email: str) -> tuple[str, str]:
        """Return id and access token of somebody who holds the role of listeners."""
        given = {"email": email, "password": PASSWORD}
        assert httpx.post(f"{self.url}/api/auth/register", json=given).status_code in (200, 202)
        token = self.login(email)
        subject = self.ask("GET", "/api/auth/verify", credential=token).json()["subject"]
        assert self.ask("PUT", f"/api/admin/people/{subject}/roles", {"roles": ["listener"]}).status_code == 200
        return subject, token

    def login(self, email: str) -> str:
        answer = httpx.post(f"{self.url}/api/auth/login", json={"email": email, "password": PASSWORD, "cookie": False}, timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def role(self, *scopes: str) -> None:
        assert self.ask("PUT", "/api/admin/roles/listener", {"title": "Listens", "scopes": list(scopes)}).status_code == 200

    @contextmanager
    def follow(self, credential: str = "", *, query: str = "", **headers: str) -> Iterator[Iterator[str]]:
        """Yield the lines of an event stream, the first event read."""
        sent = {**headers, **({"Authorization": f"Bearer {credential}"} if credential else {})}
        with httpx.stream("GET", f"{self.url}{FOLLOW}{query}", headers=sent, timeout=30) as answer:
            if answer.status_code != 200:
                raise Refused(answer.status_code, str(msgspec.json.decode(answer.read())["code"]))
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            yield lines

    def refused(self, path: str, credential: str = "", **more: Any) -> tuple[int, str]:
        """Return status and code with which a handshake is refused."""
        with pytest.raises(InvalidStatus) as found:
            enter(self.home, path, credential, **more)
        response = found.value.response
        return response.status_code, msgspec.json.decode(response.body)["code"]

    def is_let_in(self, path: str, credential: str = "") -> bool:
        try:
            with enter(self.home, path, credential) as socket:
                socket.recv(timeout=30)
                return True
        except InvalidStatus as refused:
            if refused.response.status_code != 429:
                raise
            return False


class Refused(Exception):
    """An event stream was not opened."""


def last_event(lines: Iterator[str]) -> tuple[str, Any]:
    """Return name and data of the last event of a stream."""
    said = [line for line in lines if line]
    return said[-2].removeprefix("event: "), msgspec.json.decode(said[-1].removeprefix("data: "))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("live")
    install(folder / "site")
    with serving(folder / "home", config=CONFIG, PYTHONPATH=str(folder / "site"), **QUIET) as home:
        yield Server(home)


def test_revoked_key__ends_its_sockets_and_streams_and_tells_why(server: Server) -> None:
    name, key = server.key()
    other = server.key()[1]
    with ExitStack() as stack:
        room, stubborn = [stack.enter_context(enter(server.home, path, key)) for path in (ROOM, STUBBORN)]
        of_ticket = stack.enter_context(enter(server.home, f"{ROOM}?ticket={server.ticket(ROOM, key)}"))
        lines = stack.enter_context(server.follow(key))
        stays = stack.enter_context(enter(server.home, ROOM, other))
        for socket in (room, stubborn, of_ticket, stays):
            socket.recv(timeout=30)
        assert server.ask("DELETE", f"/api/keys/{name}").status_code in (200, 204)
        ends = [closing(socket) for socket in (room, stubborn, of_ticket)]
        event, problem = last_event(lines)
        stays.send("still here")
        assert stays.recv(timeout=30) == "still here"

    assert ends == [(4401, "bad-credential")] * 3
    assert (event, problem["status"], problem["code"]) == ("closed", 401, "bad-credential")
    assert server.refused(ROOM, key) == (401, "bad-credential")


def test_session__that_ends_or_loses_its_role__takes_its_streams_along(server: Server) -> None:
    server.role("live:listen")
    people = {name: server.person(f"{name}@example.org") for name in ("ann", "bob", "sue")}
    with ExitStack() as stack:
        opened = {name: stack.enter_context(enter(server.home, ROOM, token)) for name, (_, token) in people.items()}
        lines = {name: stack.enter_context(server.follow(token)) for name, (_, token) in people.items()}
        for name, socket in opened.items():
            assert str(socket.recv(timeout=30)).startswith(people[name][0])
        assert server.ask("POST", "/api/auth/logout", {}, credential=people["ann"][1]).status_code == 204
        assert closing(opened["ann"])[0] == 4401
        assert server.ask("POST", f"/api/admin/people/{people['sue'][0]}/suspend").status_code == 200
        assert closing(opened["sue"])[0] == 4401
        opened["bob"].send("and I?")
        assert opened["bob"].recv(timeout=30) == "and I?"
        server.role()
        assert closing(opened["bob"]) == (4403, "missing-scope")
        events = {name: last_event(found) for name, found in lines.items()}

    assert {name: (event, problem["status"]) for name, (event, problem) in events.items()} == {
        "ann": ("closed", 401),
        "sue": ("closed", 401),
        "bob": ("closed", 403),
    }


def test_streams__of_one_person__are_so_many_and_come_back_however_they_end(server: Server) -> None:
    server.role("live:listen")
    person, token = server.person("max@example.org")
    with ExitStack() as stack:
        opened = [stack.enter_context(enter(server.home, path, token)) for path in [ROOM] * 6 + [STUBBORN] * 3]
        lines = stack.enter_context(server.follow(token))
        for socket in opened:
            assert socket.recv(timeout=30)
        assert server.refused(ROOM, token) == (429, "too-many-streams")
        with pytest.raises(Refused) as refused, server.follow(token):
            pass
        assert refused.value.args == (429, "too-many-streams")
        assert server.ask("GET", "/api/standing/plain", credential=token).status_code == 200  # what does not stay open has no bound
        opened[0].close()
        with enter(server.home, ROOM, token) as again:
            assert again.recv(timeout=30)
            assert server.refused(ROOM, token) == (429, "too-many-streams")
        vanished = opened[-1].socket  # its handler never looks whether anybody is there
        vanished.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        vanished.shutdown(sockets.SHUT_RDWR)
        vanished.close()
        while not server.is_let_in(ROOM, token):
            pass
        assert server.ask("POST", f"/api/admin/people/{person}/suspend").status_code == 200
        assert {closing(socket)[0] for socket in opened[1:-1]} == {4401}
        assert last_event(lines)[0] == "closed"
        assert server.ask("POST", f"/api/admin/people/{person}/restore").status_code == 200
        fresh = server.login("max@example.org")
        many = [stack.enter_context(enter(server.home, ROOM, fresh)) for _ in range(MOST)]
        assert all(socket.recv(timeout=30) for socket in many)


def test_anonymous_sockets__of_one_address__are_so_many(server: Server) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(enter(server.home, HALL)) for _ in range(MOST_OF_NOBODY)]
        assert {socket.recv(timeout=30) for socket in opened} == {"welcome"}
        assert server.refused(HALL) == (429, "too-many-streams")
        assert server.is_let_in(ROOM, server.key()[1])  # who is known is counted apart
    while not server.is_let_in(HALL):
        pass


def test_ticket__opens_one_stream_at_its_path_from_its_page_once(server: Server) -> None:
    key, page = server.key()[1], server.url
    tickets: list[str] = []

    def ticket(path: str, **headers: str) -> str:
        tickets.append(server.ticket(path, key, **headers))
        return tickets[-1]

    mine = ticket(ROOM, Origin=page)
    with enter(server.home, f"{ROOM}?a=1&ticket={mine}&b=2", origin=page) as socket:
        assert str(socket.recv(timeout=30)).endswith(" a=1&b=2")
    bad = (401, "bad-ticket")
    assert server.refused(f"{ROOM}?ticket={mine}", origin=page) == bad
    assert server.refused(f"{ROOM}?ticket={ticket(FOLLOW)}") == bad
    assert server.refused(f"{ROOM}?ticket={ticket(ROOM, Origin=page)}") == bad  # a browser names its page
    strayed = ticket(ROOM)
    assert server.refused(f"{STUBBORN}?ticket={strayed}") == server.refused(f"{ROOM}?ticket={strayed}") == bad  # shown elsewhere, it is used up
    assert server.refused(f"{ROOM}?ticket=lut_{'A' * 43}") == bad
    assert server.refused(f"{ROOM}?ticket={ticket(ROOM, Origin='https://evil.example')}", origin=page) == bad
    assert server.refused(f"{ROOM}?ticket={ticket(ROOM)}", key) == (400, "duplicate-credential")
    assert server.refused(f"{ROOM}?ticket={ticket(ROOM)}&ticket={ticket(ROOM)}") == (400, "duplicate-credential")

    mine = ticket(FOLLOW, Origin=page)
    with server.follow(query=f"?topic=x&ticket={mine}"):  # an EventSource names no page when it is its own
        pass
    for query in (f"?ticket={mine}", f"?ticket={ticket(ROOM)}"):
        with pytest.raises(Refused) as refused, server.follow(query=query):
            pass
        assert refused.value.args == bad
    plain = httpx.get(f"{server.url}/api/standing/plain?ticket={ticket('/api/standing/plain')}")
    assert (plain.status_code, plain.json()["code"]) == bad  # a route that is no stream takes none

    assert server.ask("POST", "/api/auth/ticket", {"path": "room"}).status_code == 400
    assert httpx.post(f"{server.url}/api/auth/ticket", json={"path": ROOM}).status_code == 401
    while "/api/standing/last" not in "".join(server.home.log):  # the log of requests is written behind them
        server.ask("GET", "/api/standing/last")
    assert ROOM in "".join(server.home.log)
    kept = b"".join(path.read_bytes() for path in (server.home.folder / "data").rglob("*") if path.is_file())
    assert not [one for one in tickets if one in "".join(server.home.log)]
    assert not [one for one in [*(one[4:] for one in tickets), key.split("_")[-2]] if one.encode() in kept]


@pytest.mark.postgres
def test_revoked_in_one_process__is_ended_in_another(own_postgres_url: str, tmp_path: Path) -> None:
    install(tmp_path / "site")
    with serving(tmp_path / "home", config=CONFIG, PYTHONPATH=str(tmp_path / "site"), LUMINAI_DATABASE__URL=own_postgres_url, **QUIET) as home:
        first = Server(home)
        command = [LUMINAI, "serve", "--port", "0"]
        with subprocess.Popen(command, cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            said = next(line for line in process.stderr if "ready at" in line)
            drain = threading.Thread(target=process.stderr.read, daemon=True)
            drain.start()
            second = said.split("ready at ")[1].split()[0]
            try:
                name, key = first.key()
                mine = first.ticket(ROOM, key)
                with enter(home, f"{ROOM}?ticket={mine}", url=second) as ticketed, enter(home, ROOM, key, url=second) as room:
                    assert ticketed.recv(timeout=30)
                    assert room.recv(timeout=30)
                    assert first.refused(f"{ROOM}?ticket={mine}") == (401, "bad-ticket")  # used in the other process
                    assert first.ask("DELETE", f"/api/keys/{name}").status_code in (200, 204)
                    assert [closing(socket) for socket in (ticketed, room)] == [(4401, "bad-credential")] * 2
            finally:
                process.send_signal(signal.SIGTERM)
                drain.join()
