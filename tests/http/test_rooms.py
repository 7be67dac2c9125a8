"""Rooms of a served hub: by event stream, socket and poll; who is let in, who stays, what comes again, what happens to the slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from typing import Any

import pytest
from home import serving
from http_rooms import CODE, CONFIG, MANIFEST, Refused, Square, hear, install, say, subscribe
from permissions.live_plugin import closing

from luminai.testing import running_hub

QUIET = {"LUMINAI_LIMITS__ENABLED": "false", "LUMINAI_IDENTITY__VERIFY_EMAIL": "off", "LUMINAI_LIVE__HEARTBEAT_SECONDS": "1"}


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Square]:
    folder = tmp_path_factory.mktemp("rooms")
    install(folder / "site")
    with serving(folder / "home", config=CONFIG, PYTHONPATH=str(folder / "site"), **QUIET) as home:
        yield Square(home)


@pytest.mark.shows("LR-18", "LW-68")
def test_message__reaches_stream_socket_and_poll__with_one_id(square: Square) -> None:
    room = "square.hall.one"
    with square.follow(room) as stream, square.enter() as socket:
        at, name, data = next(stream)
        assert (name, data) == ("joined", {"room": room})
        assert subscribe(socket, room) == at
        square.say(room, {"text": "good morning"})
        square.say(room, {"n": 7})
        streamed = [next(stream), next(stream)]
        heard = [hear(socket), hear(socket)]
        polled = square.poll(room, at)

    assert [(name, data) for _, name, data in streamed] == [("said", {"text": "good morning", "to": ""}), ("counted", {"n": 7})]
    assert heard == [{"room": room, "id": id_, "type": "event", "kind": kind, "data": data} for id_, kind, data in streamed]
    assert polled["events"] == [{"id": id_, "kind": kind, "data": data} for id_, kind, data in streamed]
    assert (polled["last"], polled["gap"]) == (streamed[-1][0], False)
    epoch, _, number = at.partition("-")
    assert [id_ for id_, _, _ in streamed] == [f"{epoch}-{int(number) + 1}", f"{epoch}-{int(number) + 2}"]


@pytest.mark.shows("LW-70")
def test_who_comes_back__gets_what_was_missed_or_hears_of_a_gap(square: Square) -> None:
    room = "square.hall.two"
    start = square.poll(room)["last"]
    square.say(room, {"n": 1}, count=3)
    with square.follow(room, start) as stream:
        joined, *missed = [next(stream) for _ in range(4)]
        square.say(room, {"n": 4})
        missed.append(next(stream))
    assert joined[:2] == (start, "joined")
    assert [data["n"] for _, _, data in missed] == [1, 2, 3, 4]
    with square.enter() as socket:
        subscribe(socket, room, missed[2][0])
        assert hear(socket)["data"] == {"n": 4}

    square.say(room, {"n": 5}, count=16)  # as many as the room keeps
    with square.follow(room, start) as stream, square.enter() as socket:
        next(stream)
        now, name, _ = next(stream)
        assert name == "gap"
        assert subscribe(socket, room, start) == now
        assert hear(socket) == {"type": "gap", "room": room, "id": now}
    assert square.poll(room, start) == {"room": room, "last": now, "gap": True, "events": [], "poll_seconds": 5.0}
    for unknown in ("1-1", f"{now.partition('-')[0]}-9999"):
        assert square.poll(room, unknown)["gap"]
    assert square.ask("GET", f"/api/live/poll?room={room}&after=yesterday").json()["code"] == "bad-event-id"


def test_room__of_others_of_nobody_or_misspelt__is_as_unknown_as_any(square: Square) -> None:
    square.role("square:listen")
    (ann, token), (bob, _) = square.person("ann"), square.person("bob")
    _, mute = square.key("square:say")
    places = [
        f"square.own.{bob}",
        "square.own.nobody",
        "square.hall",
        "square.hall.a.b",
        "square.hall.ä",
        "nothing.at.all",
        "hall.one",
        "square.cellar",
    ]
    no = (404, "unknown-room")
    with square.enter(token) as socket:
        for room in places:
            with pytest.raises(Refused) as refused, square.follow(room, credential=token):
                pass
            polled = square.ask("GET", f"/api/live/poll?room={room}", credential=token)
            say(socket, type="subscribe", room=room)
            answer = hear(socket)
            assert (refused.value.args, polled.status_code, polled.json()["code"]) == (no, *no), room
            assert (answer["type"], answer["problem"]["status"], answer["problem"]["code"]) == ("error", *no), room
            assert polled.json()["detail"].replace(room, "") == "There is no room '' for you.", room
        subscribe(socket, f"square.own.{ann}")
        square.say(f"square.own.{bob}", {"text": "secret"})
        square.say(f"square.own.{ann}", {"text": "for ann"})
        assert hear(socket)["data"]["text"] == "for ann"
    with pytest.raises(Refused) as refused, square.follow("square.hall.one", credential=mute):
        pass
    assert refused.value.args == no, "the channel's scope is missing"
    with pytest.raises(Refused) as refused, square.follow("square.hall.one", credential="lum_nonsense"):
        pass
    assert refused.value.args[0] == 401


def test_message__that_may_not_be_seen__is_not_sent(square: Square) -> None:
    square.role("square:listen")
    cid, token = square.person("cid")
    room = "square.mixed.one"
    with square.follow(room, credential=token) as stream, square.enter(token) as socket:
        at = subscribe(socket, room)
        next(stream)
        square.say(room, {"text": "for nobody", "to": "somebody else"})  # the judge raises
        square.say(room, {"text": "for cid", "to": cid})
        assert next(stream)[2]["text"] == hear(socket)["data"]["text"] == "for cid"
    assert [event["data"]["text"] for event in square.poll(room, at, token)["events"]] == ["for cid"]


def test_who_is_put_out__or_loses_the_role__leaves_the_room(square: Square) -> None:
    square.role("square:listen")
    (dan, token), (eve, other) = square.person("dan"), square.person("eve")
    room = "square.hall.three"
    with ExitStack() as stack:
        streams = [stack.enter_context(square.follow(room, credential=one)) for one in (token, other)]
        sockets = [stack.enter_context(square.enter(one)) for one in (token, other)]
        for stream, socket in zip(streams, sockets, strict=True):
            next(stream)
            subscribe(socket, room)
            subscribe(socket, f"square.own.{dan if socket is sockets[0] else eve}")
        assert square.ask("POST", f"/api/square/put-out?room={room}&who=three:{dan}").status_code == 201
        _, name, problem = next(streams[0])
        left = hear(sockets[0])
        assert (name, problem["code"]) == ("closed", "unknown-room")
        assert (left["type"], left["room"], left["problem"]["code"]) == ("closed", room, "unknown-room")
        square.say(room, {"text": "among us"})
        assert next(streams[1])[2]["text"] == hear(sockets[1])["data"]["text"] == "among us"
        with pytest.raises(Refused), square.follow(room, credential=token):
            pass

        square.role()  # nobody may listen any more, what is one's own stays
        _, name, problem = next(streams[1])
        assert (name, problem["code"]) == ("closed", "unknown-room")
        assert hear(sockets[1])["room"] == room
        square.say(f"square.own.{eve}", {"text": "still here"})
        assert hear(sockets[1])["data"]["text"] == "still here"


def test_key__that_is_revoked__ends_its_stream_and_its_socket(square: Square) -> None:
    name, key = square.key()
    with square.follow("square.hall.four", credential=key) as stream, square.enter(key) as socket:
        next(stream)
        subscribe(socket, "square.hall.four")
        assert square.ask("DELETE", f"/api/keys/{name}").status_code in (200, 204)
        assert next(stream)[1:2] == ("closed",)
        assert closing(socket) == (4401, "bad-credential")


def test_unit__that_is_rolled_back__says_nothing(square: Square) -> None:
    room = "square.hall.five"
    start = square.poll(room)["last"]
    assert square.ask("POST", f"/api/square/unit?room={room}&how=all").status_code == 500
    assert square.ask("POST", f"/api/square/unit?room={room}&how=part").status_code == 201
    assert square.ask("POST", f"/api/square/unit?room={room}&how=none").status_code == 201
    assert [event["data"]["text"] for event in square.poll(room, start)["events"]] == ["whole", "other part", "whole"]


def test_data__that_nobody_hears__is_not_made(square: Square) -> None:
    room = "square.hall.six"
    assert square.ask("POST", f"/api/square/made?room={room}").json() == 0
    start = square.poll(room)["last"]
    assert square.ask("POST", f"/api/square/made?room={room}").json() == 1
    assert [event["data"]["text"] for event in square.poll(room, start)["events"]] == ["made"]


def test_data__that_was_not_made__who_came_before_the_commit_hears_of_a_gap(square: Square) -> None:
    room = "square.hall.seven"
    assert square.ask("POST", f"/api/square/made?room={room}&meanwhile=true").json() == 0
    epoch, _, number = square.poll(room)["last"].partition("-")
    assert number == "2", "what was said meanwhile, and the gap"
    assert square.poll(room, f"{epoch}-1")["gap"]


def test_publish__what_the_channel_does_not_take__is_refused(square: Square) -> None:
    def refused(room: str, kind: str) -> tuple[int, str]:
        answer = square.ask("POST", f"/api/square/kind?room={room}&kind={kind}")
        return answer.status_code, answer.json()["code"]

    assert refused("square.cellar.one", "said") == refused("chat.conversation.one", "said") == (422, "unknown-room")
    assert refused("square.hall.one", "sung") == refused("square.hall.one", "counted") == (422, "message-does-not-fit")
    assert refused("square.hall.one", "said") == (413, "message-too-large")


def test_replay__of_more_than_may_wait__is_whole(plugins: Any) -> None:
    made = plugins.make("square", CODE, raw_manifest=MANIFEST)

    async def main() -> list[bytes]:
        async with running_hub("square", installed=[made], settings={"live": {"backlog": 2}}) as hub:
            client, room = hub.client("*"), "square.hall.one"
            start = (await client.request("GET", f"/api/live/poll?room={room}")).json()["last"]
            assert (await client.request("POST", f"/api/square/say?room={room}&count=16", json={"n": 0})).status == 201
            async with client.stream("GET", f"/api/live?room={room}&after={start}") as answer:
                return [await anext(answer.chunks) for _ in range(17)]  # this client takes each only when asked for it

    said = asyncio.run(main())

    assert [b"event: counted" in one and b'"n":%d}' % number in one for number, one in enumerate(said[1:])] == [True] * 16


def test_slow_reader__hears_how_much_was_dropped_and_is_sent_away(square: Square) -> None:
    room = "square.hall.six"
    with ExitStack() as stack:
        stream = stack.enter_context(square.follow(room))
        socket = stack.enter_context(square.enter(max_queue=1))
        start = next(stream)[0]
        subscribe(socket, room)
        assert square.ask("POST", f"/api/square/flood?room={room}&count=1500").status_code == 201  # 24 MB, past all that a network buffers
        read = list(stream)
        names = [name for _, name, _ in read]
        kept = len(list(takewhile(lambda name: name == "said", names)))
        dropped = read[kept][2]["dropped"]
        said = [hear(socket)]
        while said[-1]["type"] == "event":
            said.append(hear(socket))
        assert closing(socket) == (1013, "too-slow")

    assert names[kept:] == ["dropped", "reconnect"]
    assert 0 < dropped == 1500 - kept
    assert said[-1] == {"type": "dropped", "dropped": 1500 - len(said) + 1}
    with square.follow(room, read[kept - 1][0] if kept else start) as again:
        assert [next(again)[1] for _ in range(2)] == ["joined", "gap"]


def test_stream__that_is_silent__shows_that_it_stands(square: Square) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {square.operator}"}
    with httpx.stream("GET", f"{square.url}/api/live?room=square.hall.seven", headers=headers, timeout=30) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("retry: ")) == "retry: 2000"
        assert next(line for line in lines if line.startswith(":"))


def test_socket__that_asks_nonsense__is_answered_and_stays(square: Square) -> None:
    def code(**said: Any) -> str:
        say(socket, **said)
        return str(hear(socket)["problem"]["code"])

    with square.enter() as socket:
        assert code(type="dance") == code(room="square.hall.one") == code(type="subscribe", room="") == "bad-message"
        assert code(type="subscribe", room="square.hall.one", more=1) == "bad-message"
        socket.send(b"\xff[")
        assert hear(socket)["problem"]["code"] == "bad-message"
        assert code(type="subscribe", room="square.hall.one", after="x") == "bad-event-id"
        subscribe(socket, "square.hall.one")
        assert code(type="subscribe", room="square.hall.one") == "already-there"
        say(socket, type="unsubscribe", room="square.hall.one", ref="2")
        assert hear(socket) == {"type": "left", "room": "square.hall.one", "ref": "2"}
        for number in range(50):
            subscribe(socket, f"square.hall.r{number}")
        assert code(type="subscribe", room="square.hall.more") == "too-many-rooms"
        say(socket, type="ping", ref="3")
        assert hear(socket) == {"type": "pong", "ref": "3"}
        say(socket, type="subscribe", room="x" * 1100)
        assert closing(socket) == (1009, "message-too-large")


def test_plugin__that_is_replaced_or_turned_off__sends_its_readers_away_and_others_stay(square: Square) -> None:
    with square.follow("square.hall.eight") as stream, square.enter() as socket:
        next(stream)
        subscribe(socket, "square.hall.eight")
        assert square.ask("POST", "/api/admin/plugins/knowledge/restart").status_code == 200
        square.say("square.hall.eight", {"text": "as before"})
        assert next(stream)[2]["text"] == hear(socket)["data"]["text"] == "as before"
        square.home.data("plugins", "disable", "square")
        assert next(stream)[1] == "reconnect"
        assert hear(socket) == {"room": "square.hall.eight", "type": "reconnect"}
        say(socket, type="subscribe", room="square.hall.eight")
        assert hear(socket)["problem"]["code"] == "unknown-room"
    with pytest.raises(Refused) as refused, square.follow("square.hall.eight"):
        pass
    assert refused.value.args == (404, "unknown-room")
    square.home.data("plugins", "enable", "square")
    with square.follow("square.hall.eight") as stream:
        assert next(stream)[1] == "joined"
