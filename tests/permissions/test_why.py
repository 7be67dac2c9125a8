"""The hub explains why somebody may do something, and its answer is the one that they get."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from home import Home
from permissions.asker import Asker, Place, run
from permissions.test_matrix import filled, refusal

ZEROS = "0" * 32


async def explain(place: Place, actor: str, action: str, object_id: str = "") -> Any:
    query = {"actor": actor, "action": action} | ({"object": object_id} if object_id else {})
    answer = await place.town.hub.client("hub:people").request("GET", "/api/admin/permissions/why", query=query)
    assert answer.status == 200, answer.text
    return answer.json()


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)


def test_why__every_route_and_each_kind_of_actor__agrees_with_the_guard() -> None:
    async def work(place: Place) -> tuple[list[str], int]:
        wrong, count = [], 0
        info, text = await place.key("chat:read", "hub:people", subject="ann")
        gone, lost = await place.key("*", subject="ann")
        await place.hub.keys.revoke(gone.id)
        names = [("anonymous", place.askers[0]), (info.id, Asker(name="key", credential=text)), (gone.id, Asker(name="gone", credential=lost))]
        people = ("member", "person without roles", "invited as admin, not confirmed", "suspended admin", "admin")
        names += [(one.actor.subject, one) for one in place.askers if one.name in people and one.actor is not None]
        for route in place.routes:
            if route.operation == "core.logout" or route.path.endswith("/trace") or route.method == "WS":
                continue
            for name, asker in names:
                path = filled(route.path)
                told = await explain(place, name, f"{route.method} {path}")
                answer = await place.ask(asker, route.method, path)
                count += 1
                is_bad = told["code"] == "bad-credential"
                if told["allowed"] != (refusal(answer) == 0) or (refusal(answer) == 401) != (is_bad or told["code"] == "not-signed-in"):
                    wrong.append(f"{name} {route.method} {path}: told {told['code'] or 'allowed'}, got {answer.status}")
        return wrong, count

    wrong, count = run(work)

    assert wrong == []
    assert count > 700


def test_why__reasons__tell_the_whole_chain() -> None:
    async def work(place: Place) -> dict[str, Any]:
        bob = place.exact["chat:write", "bob"]
        session = (await place.ask(bob, "POST", "/api/chat", body={"message": "Mine."})).json()["session_id"]
        ann, _ = await place.key("chat:read", subject="ann")
        own, _ = await place.key("chat:read", subject="bob")
        late, _ = await place.key("chat:read", subject="bob", expires=place.town.clock.now() + timedelta(seconds=1))
        place.town.clock.advance(2)
        subjects = {one.name: one.actor.subject for one in place.askers if one.actor is not None}
        invited, suspended = subjects["invited as admin, not confirmed"], subjects["suspended admin"]
        theirs, _ = await place.key("*", subject=suspended)
        show = f"GET /api/session/{session}"
        return {
            "own": await explain(place, own.id, show, session),
            "foreign": await explain(place, ann.id, show, session),
            "missing": await explain(place, ann.id, show, f"ses_{ZEROS}"),
            "expired": await explain(place, late.id, "chat:read"),
            "invited": await explain(place, invited, "hub:people"),
            "suspended": await explain(place, suspended, "hub:people"),
            "key of suspended": await explain(place, theirs.id, "hub:people"),
            "unknown": await explain(place, f"key_{ZEROS}", "hub:people"),
            "step-up": await explain(place, subjects["admin"], "POST /api/admin/rollback"),
        }

    told = run(work)
    steps = {name: [(one["step"], one["verdict"]) for one in answer["reasons"]] for name, answer in told.items()}
    said = {name: answer["reasons"][-1]["detail"] for name, answer in told.items()}

    assert steps["own"] == [("credential", "allows"), ("route", "notes"), ("scope", "allows"), ("owner", "allows")]
    assert steps["foreign"][-1] == ("owner", "denies")
    assert "belongs to bob, not to ann" in said["foreign"]
    assert (told["foreign"]["code"], told["missing"]["allowed"], steps["missing"][-1]) == ("not-found", True, ("owner", "notes"))
    assert "expired at" in said["expired"]
    assert any("admin in the hub is invited, not confirmed" in one["detail"] for one in told["invited"]["reasons"])
    assert told["invited"]["code"] == "missing-scope"
    assert (told["suspended"]["code"], told["key of suspended"]["code"]) == ("bad-credential", "bad-credential")
    assert "is suspended" in said["suspended"] + said["key of suspended"]
    assert "There is no key" in said["unknown"]
    assert ("step-up", "notes") in steps["step-up"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"actor": "anonymous", "action": "chat:fly"}, 404, "unknown-scope"),
        ({"actor": "anonymous", "action": "GET /api/nothing/here"}, 404, "unknown-route"),
        ({"actor": "somebody", "action": "chat:read"}, 400, "invalid-input"),
        ({"actor": "anonymous", "action": "chat:read", "object": "a b"}, 400, "invalid-input"),
    ],
)
def test_why__a_question_about_nothing__is_refused(query: dict[str, str], status: int, code: str) -> None:
    async def main() -> Any:
        from luminai.testing import running_hub

        async with running_hub() as hub:
            return await hub.client("hub:people").request("GET", "/api/admin/permissions/why", query=query)

    answer = asyncio.run(main())
    assert (answer.status, answer.json()["code"]) == (status, code)


def test_command__piped_and_on_a_terminal__tells_the_same(served: Home) -> None:
    key = served.data("keys", "create", "--name", "reader", "--scope", "chat:read")["id"]
    told = served.data("permissions", "why", key, "POST /api/chat")
    shown = served.run("--output", "table", "permissions", "why", key, "POST /api/chat")

    assert (told["allowed"], told["code"]) == (False, "missing-scope")
    assert shown.returncode == 0
    assert re.search(r"^✓ credential +The key reader", shown.stdout, re.MULTILINE)
    assert shown.stdout.endswith("Denied (missing-scope).\n")
    assert json.loads(served.run("permissions", "why", "anonymous", "POST /api/chat").stdout)["allowed"] is True
    assert served.refusal("permissions", "why", "anonymous", "no:scope")[1] == "unknown-scope"
