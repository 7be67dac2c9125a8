"""Every route of a hub with all plugins, asked by everybody: the guard answers as the declared policy says, and nobody sees what is another's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from permissions.asker import GATE, Asker, Place, run
from permissions.statements import statements

from luminai import Actor
from luminai.http.inprocess import Answer

EXAMPLES = {
    "key_id": "key_",
    "own_key_id": "key_",
    "person": "usr_",
    "delivery": "whd_",
    "organisation": "org_",
    "member": "usr_",
    "member_key": "key_",
    "invitation": "inv_",
    "letter": "mail_",
    "session_id": "ses_",
    "identity_id": "oid_",
    "turn_id": "turn_",
    "check": "idc_",
    "schedule": "sch_",
    "event": "evt_",
    "endpoint": "end_",
    "any_endpoint": "end_",
    "account": "acc_",
    "own_account": "acc_",
    "transfer": "trf_",
    "journal": "trf_",
    "payment": "pay_",
    "any_payment": "pay_",
    "method": "pmt_",
    "incident": "pinc_",
    "usage_id": "use_",
    "any_usage": "use_",
    "call_id": "call_",
    "any_call": "call_",
}
ZEROS = "0" * 32
SHARED = {
    "document_id": "the knowledge base is one for all",
    "frequency_id": "a constant",
    "model": "a model is there for all",
    "name": "a file of the site, or a webhook",
    "path": "a page of the site",
    "persona_id": "a persona is there for all",
    "plugin": "a plugin is the operator's",
    "provider": "a setting of the operator",
    "rest": "any page that is not there",
    **dict.fromkeys(
        ("any_job", "any_endpoint", "delivery", "entry_id", "hold_id", "key_id", "letter", "organisation", "person", "repair", "role", "subject"),
        "an operator's, under a scope of the hub",
    ),
    **dict.fromkeys(("account", "transfer", "journal"), "books are an operator's, under ledger:audit and ledger:manage"),
    **dict.fromkeys(("any_payment", "incident", "ref"), "payments of all are an operator's, under payments:manage and pay-sandbox:manage"),
    **dict.fromkeys(("owner", "any_usage"), "wallets of all are an operator's, under credits:manage"),
    "any_call": "calls of all are an operator's, under ai-gateway:manage",
    "product": "what is sold is the same for all",
}
"""Why rows that a parameter names have no owner; every other parameter is one of ``OWNED``."""
ORGANISATION: tuple[tuple[str, str, Any, int], ...] = (
    ("GET", "", None, 200),
    ("PATCH", "", {"name": "Grey"}, 200),
    ("POST", "/leave", None, 409),
    ("GET", "/members", None, 200),
    ("PUT", "/members/{member:str}/roles", {"roles": ["member"]}, 404),
    ("DELETE", "/members/{member:str}", None, 404),
    ("GET", "/keys", None, 200),
    ("DELETE", "/keys/{member_key:str}", None, 404),
    ("POST", "/invitations", {"email": "friend@example.org"}, 201),
    ("GET", "/invitations", None, 200),
    ("DELETE", "/invitations/{invitation:str}", None, 404),
    ("DELETE", "", None, 200),
)
"""What is asked of an organisation, and what its only owner is answered."""
ENDPOINT: tuple[tuple[str, str, Any, int], ...] = (
    ("GET", "", None, 200),
    ("GET", "/calls", None, 200),
    ("POST", "/rotate", None, 200),
    ("POST", "/enable", None, 200),
    ("POST", "/ping", None, 202),
    ("POST", "/replay", {"event": f"evt_{ZEROS}"}, 409),
    ("DELETE", "", None, 204),
)
"""What is asked of an endpoint, and what its owner is answered."""
OWNED = {
    "GET /api/session/{session_id:str}",
    "DELETE /api/session/{session_id:str}",
    "POST /api/chat/turns/{turn_id:str}/cancel",
    "GET /api/chat/turns/{turn_id:str}",
    "GET /api/chat/turns/{turn_id:str}/events",
    "POST /api/chat/turns/{turn_id:str}/continue",
    "POST /api/chat/turns/{turn_id:str}/approvals",
    "DELETE /api/auth/sessions/{session_id:str}",
    "DELETE /api/auth/identities/{identity_id:str}",
    "GET /api/jobs/{job:str}",
    "GET /api/jobs/{job:str}/history",
    "POST /api/jobs/{job:str}/cancel",
    *(f"{method} /api/schedules/{{schedule:str}}" for method in ("GET", "PATCH", "DELETE")),
    *(f"POST /api/schedules/{{schedule:str}}/{verb}" for verb in ("pause", "resume", "run")),
    "GET /api/events/{event:str}",
    "GET /api/ledger/mine/{own_account:str}/statement",
    "POST /api/credits/usage/{usage_id:str}/refund",
    "GET /api/ai/calls/{call_id:str}",
    "GET /api/payments/checkouts/{payment:str}",
    *(f"POST /api/payments/checkouts/{{payment:str}}/{verb}" for verb in ("retry", "cancel")),
    "DELETE /api/payments/methods/{method:str}",
    *(f"{method} /api/endpoints/{{endpoint:str}}{rest}" for method, rest, _, _ in ENDPOINT),
    "POST /api/users/keys/{own_key_id:str}/rotate",
    "DELETE /api/users/keys/{own_key_id:str}",
    "POST /api/users/verify-identity/{check:str}/refresh",
    *(f"{method} /api/organisations/{{organisation:str}}{rest}" for method, rest, _, _ in ORGANISATION),
}
CHECK_AGAIN = "/api/users/verify-identity/ID/refresh"
LOOKS_AT_ALL = {"/api/admin/events"}
"""Ids of everybody's things are what these are there to show; bob's words are in none of them."""
ENDS = "core.logout"
"""It ends the credential of whoever asks, so it comes last."""
SECRET = "Where is the amber canary of bob kept?"


def filled(path: str, value: str = "") -> str:
    """Return a path with its parameters filled in with what is not there."""
    return re.sub(r"\{(\w+):[^}]*\}", lambda found: value or f"{EXAMPLES.get(found[1], 'nothing-')}{ZEROS}", path)


def code_of(answer: Answer) -> str:
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return str(answer.json()["code"]) if is_problem else ""


def refusal(answer: Answer) -> int:
    """Return the status of the guard's refusal, 0 when it let the request through."""
    return answer.status if code_of(answer) in GATE.get(answer.status, ()) else 0


@pytest.mark.shows("LK-38", "PX-13", "TL-26")
def test_matrix__every_route_and_everybody__is_as_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)

    async def work(place: Place) -> tuple[list[str], int, int, list[str]]:
        bob = place.exact["chat:write", "bob"]
        told = (await place.ask(bob, "POST", "/api/chat", body={"message": SECRET})).json()
        marks = [SECRET, told["session_id"], told["message_id"], told["turn_id"]]
        wrong, leaks, asked, passed = [], [], 0, 0
        asked_by_http = [route for route in place.routes if route.method != "WS"]  # sockets are asked in test_channels
        every = [(route, asker) for route in asked_by_http for asker in place.everybody(route.policy)]
        every.sort(key=lambda pair: (pair[1].expected(pair[0].policy) == 0, pair[0].operation == ENDS))  # what passes may change things
        for route, asker in every:
            query = "?seconds=1" if route.path.endswith("/trace") else ""
            answer = await place.ask(asker, route.method, filled(route.path) + query)
            expected, found = asker.expected(route.policy), refusal(answer)
            asked, passed = asked + 1, passed + (found == 0)
            if expected != found or answer.status >= 500:
                wrong.append(f"{route.method} {route.path} by {asker.name}: {answer.status} {code_of(answer)}, expected {expected or 'a pass'}")
            if asker.name != "chat:read of bob" and route.path not in LOOKS_AT_ALL and any(mark in answer.text for mark in marks):
                leaks.append(f"{route.method} {route.path} by {asker.name}")
        return wrong, asked, passed, leaks

    wrong, asked, passed, leaks = run(work)

    assert wrong == []
    assert leaks == []
    assert asked > 1500
    assert 300 < passed < asked - 300


@pytest.mark.shows("LK-81", "LW-91")
def test_inventory__every_route__has_a_policy_and_every_parameter_an_owner_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)

    async def work(place: Place) -> tuple[Any, Any, Any]:
        document = await place.hub.document(None)
        return place.routes, document["paths"], place.scopes

    routes, paths, scopes = run(work)

    assert [route.path for route in routes if route.policy is None] == []
    assert {route.policy.scope for route in routes} - {None} <= set(scopes)
    for route in routes:
        name = f"{route.method} {route.path}"
        parameters = set(re.findall(r"\{(\w+):", route.path))
        assert name in OWNED or parameters <= SHARED.keys(), f"{name}: say in SHARED why its rows have no owner, or test it in OWNED"
        operators = {
            "any_job",
            "any_endpoint",
            "person",
            "subject",
            "key_id",
            "letter",
            "entry_id",
            "hold_id",
            "delivery",
            "organisation",
            "repair",
            "role",
        }
        if parameters & operators and name not in OWNED:
            assert str(route.policy.scope).startswith("hub:"), name
    described = {f"{method.upper()} {re.sub(r':[^}]*', '', path)}" for path, methods in paths.items() for method in methods if method != "parameters"}
    known = {f"{route.method} {re.sub(r':[^}]*', '', route.path)}" for route in routes}
    assert described <= known
    pages = {"GET /openapi.json", "GET /docs/reference/api"}
    untold = {one for one in known - described if one.partition(" ")[2].startswith("/api/") and not one.startswith("WS")} - pages
    assert untold == set(), "every operation is in the document"
    for path, methods in paths.items():
        for method, operation in methods.items():
            route = next(one for one in routes if one.method == method.upper() and re.sub(r":[^}]*", "", one.path) == path)
            assert operation["x-luminai-scope"] == (route.policy.scope or "")
            assert ({} in operation["security"]) == route.policy.anonymous


def masked(answer: Answer, *ids: str) -> tuple[int, list[str], str]:
    """Return all that a client learns from an answer, without the ids that it sent itself and the request's own."""
    text = re.sub(r"req_[0-9a-f]+", "req", answer.text)
    for one in ids:
        text = text.replace(one, "id")
    return answer.status, sorted(name for name in answer.headers if name != "x-request-id"), text


async def compare(place: Place, asker: Asker, owner: Asker, method: str, path: str, foreign: str, kind: str, body: Any = None) -> Answer:
    """Ask for what is another's and for what is not there; then let the owner have it, and return that answer.

    Both take the same work, too: statement by statement, which no clock could tell as surely.
    """
    missing = foreign[: -len(ZEROS)] + ZEROS
    await place.ask(asker, method, path.replace("ID", missing), body=_with(body, missing))  # from now on the hub knows who asks
    answers, done = [], []
    for one in (foreign, missing):
        with statements(place.hub) as told:
            answers.append(await place.ask(asker, method, path.replace("ID", one), body=_with(body, one)))
        done.append(told)
    assert masked(answers[0], foreign, missing) == masked(answers[1], foreign, missing), kind
    assert done[0] == done[1], kind
    assert done[0] or "/turns/" in path, f"{kind}: only running turns are kept in memory"
    assert answers[0].status == 404, f"{kind}: {answers[0].status} {answers[0].text}"
    return await place.ask(owner, method, path.replace("ID", foreign), body=_with(body, foreign))


async def people(place: Place) -> set[str]:
    """Compare what accounts are asked, and return which routes those were."""
    from sqlalchemy import insert

    from luminai.data.tables_people import outside_identities

    first, second = [next(one for one in place.askers if one.name == name) for name in ("member", "admin")]
    assert second.actor is not None
    listed = (await place.ask(second, "GET", "/api/auth/sessions")).json()
    session = next(one["id"] for one in (listed["items"] if isinstance(listed, dict) else listed) if not one.get("is_current", one.get("current")))
    answer = await compare(place, first, second, "DELETE", "/api/auth/sessions/ID", session, "session")
    assert answer.status == 204, answer.text
    digest = bytes.fromhex("ab" * 32)
    row = {"issuer": "https://outside.example", "sub_digest": digest, "person_id": second.actor.subject, "created_at": place.town.clock.now()}
    await place.hub.database.write(lambda session: session.execute(insert(outside_identities).values(**row)) and None)
    answer = await compare(place, first, second, "DELETE", "/api/auth/identities/ID", f"oid_{digest.hex()[:32]}", "identity")
    assert answer.status == 204, answer.text
    key, _ = await place.key("chat:read", subject=second.actor.subject)
    for method, path, status in (("POST", "/api/users/keys/ID/rotate", 201), ("DELETE", "/api/users/keys/ID", 204)):
        answer = await compare(place, first, second, method, path, key.id, path)
        assert answer.status == status, answer.text
    await compare(place, first, second, "POST", CHECK_AGAIN, await planted_check(place, second.actor.subject), "identity check")
    keys = {one for one in OWNED if "/keys/" in one or "/verify-identity/" in one}
    return {"DELETE /api/auth/sessions/{session_id:str}", "DELETE /api/auth/identities/{identity_id:str}"} | keys


async def money(place: Place) -> set[str]:
    """Compare what payments and credits answer, and return which routes those were."""
    from sqlalchemy import insert

    from luminai_credits.models import usage

    scopes = ("payments:read", "payments:pay", "credits:read", "credits:write")
    ann, bob = [Asker(name=name, credential=(await place.key(*scopes, subject=name))[1]) for name in ("ann", "bob")]
    declined = {"amount": 700, "asset": "EUR", "method": "card_declined", "provider": "sandbox"}
    payment = (await place.ask(bob, "POST", "/api/payments/charge", body=declined)).json()
    method = (await place.ask(bob, "POST", "/api/payments/methods", body={"provider": "sandbox"})).json()
    used = f"use_{'7' * 32}"
    texts = {column.name: "x" for column in usage.c if column.type.python_type is str}
    now, count = place.town.clock.now(), {"slices": 1, "held": 0, "amount": 0}
    row = (
        texts
        | count
        | {"quantities": {}, "options": [], "parts": [], "opened_at": now, "lease_until": now, "id": used, "subject": "bob", "state": "refunded"}
    )
    await place.hub.database.write(lambda session: session.execute(insert(usage).values(**row)) and None)
    done = set()
    for verb, path, parameter, found, status, body in (
        ("GET", "/api/payments/checkouts/ID", "payment", payment["id"], 200, None),
        ("POST", "/api/payments/checkouts/ID/cancel", "payment", payment["id"], 409, None),
        ("POST", "/api/payments/checkouts/ID/retry", "payment", payment["id"], 200, {"method": "card"}),
        ("DELETE", "/api/payments/methods/ID", "method", method["id"], 204, None),
        ("POST", "/api/credits/usage/ID/refund", "usage_id", used, 409, {"reason": "mine?"}),
    ):
        name = f"{verb} {path.replace('ID', f'{{{parameter}:str}}')}"
        answer = await compare(place, ann, bob, verb, path, found, name, body)
        assert answer.status == status, f"{name}: {answer.status} {answer.text}"
        done.add(name)
    return done


async def books(place: Place) -> set[str]:
    """Compare what the ledger answers, and return which route that was."""
    from luminai_ledger import Account, Ledger

    ledger = place.hub.generation.wiring.services.find("ledger", Ledger)
    wallet = Account(purpose="wallet", asset="EUR", owner="bob")
    await ledger._ctx.db.as_system().write(lambda session: ledger.open(session, wallet))
    ann, bob = [Asker(name=name, credential=(await place.key("ledger:read", subject=name))[1]) for name in ("ann", "bob")]
    name = "GET /api/ledger/mine/{own_account:str}/statement"
    answer = await compare(place, ann, bob, "GET", "/api/ledger/mine/ID/statement", wallet.id, name, None)
    assert answer.status == 200, answer.text
    return {name}


async def model_calls(place: Place) -> set[str]:
    """Compare what the gateway answers about a call, and return which route that was."""
    from luminai import ChatMessage, ChatRequest
    from luminai_ai_gateway import ChatCall, Gateway

    gateway = place.hub.generation.wiring.services.find("ai-gateway", Gateway)
    actor, request = Actor("key", "bob", frozenset({"ai-gateway:use"})), ChatRequest(model="", messages=(ChatMessage("user", "What is a plugin?"),))
    reply = await gateway.chat(ChatCall(actor=actor, model="offline/quote", request=request))
    ann, bob = [Asker(name=name, credential=(await place.key("ai-gateway:read", subject=name))[1]) for name in ("ann", "bob")]
    name = "GET /api/ai/calls/{call_id:str}"
    answer = await compare(place, ann, bob, "GET", "/api/ai/calls/ID", reply.trace.call, name, None)
    assert answer.status == 200, answer.text
    return {name}


async def organisations(place: Place) -> set[str]:
    first, second = [next(one for one in place.askers if one.name == name) for name in ("member", "admin")]
    organisation = (await place.ask(second, "POST", "/api/organisations", body={"name": "Blue"})).json()["id"]
    done = set()
    for method, rest, body, status in ORGANISATION:
        path = f"/api/organisations/ID{filled(rest)}"
        answer = await compare(place, first, second, method, path, organisation, path, body)
        assert answer.status == status, f"{method} {path}: {answer.text}"
        done.add(f"{method} /api/organisations/{{organisation:str}}{rest}")
    return done


def test_object__of_another_or_missing__looks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)

    async def work(place: Place) -> set[str]:
        _, text = await place.key("chat:read", "chat:write", subject="ann")
        ann = Asker(name="ann", credential=text)
        _, text = await place.key("chat:read", "chat:write", subject="bob")
        bob = Asker(name="bob", credential=text)
        told = (await place.ask(bob, "POST", "/api/chat", body={"message": SECRET})).json()
        mine = (await place.ask(ann, "POST", "/api/chat", body={"message": "Mine?"})).json()
        session, message, turn = told["session_id"], told["message_id"], told["turn_id"]
        done: set[str] = set()

        async def kind(name: str, method: str, path: str, foreign: str, status: int, body: Any = None) -> None:
            answer = await compare(place, ann, bob, method, path, foreign, name, body)
            assert answer.status == status, f"{name}: {answer.status} {answer.text}"
            done.add(name)

        await kind("GET /api/session/{session_id:str}", "GET", "/api/session/ID", session, 200)
        await kind("continue", "POST", "/api/chat", session, 200, {"message": "More?", "session_id": "ID"})
        await kind("POST /api/chat/turns/{turn_id:str}/cancel", "POST", "/api/chat/turns/ID/cancel", turn, 202)
        await kind("GET /api/chat/turns/{turn_id:str}", "GET", "/api/chat/turns/ID", turn, 200)
        await kind("GET /api/chat/turns/{turn_id:str}/events", "GET", "/api/chat/turns/ID/events", turn, 200)
        await kind("POST /api/chat/turns/{turn_id:str}/continue", "POST", "/api/chat/turns/ID/continue", turn, 409, {})
        answered = {"digest": "0" * 64, "allow": True}
        await kind("POST /api/chat/turns/{turn_id:str}/approvals", "POST", "/api/chat/turns/ID/approvals", turn, 409, answered)
        parents = {"message": "Branch?", "session_id": mine["session_id"], "parent_id": "ID"}  # a message of another in a session of one's own
        zeros = "msg_" + ZEROS
        branches = [await place.ask(ann, "POST", "/api/chat", body=_with(parents, one)) for one in (message, zeros)]
        assert masked(branches[0], message, zeros) == masked(branches[1], message, zeros)
        assert branches[0].status == 404
        await kind("DELETE /api/session/{session_id:str}", "DELETE", "/api/session/ID", session, 204)
        job = await planted_job(place, "bob")
        for method, rest in (("GET", ""), ("GET", "/history"), ("POST", "/cancel")):
            await kind(f"{method} /api/jobs/{{job:str}}{rest}", method, f"/api/jobs/ID{rest}", job, 200)
        await work_of(place, bob, kind)
        return done | await people(place) | await organisations(place) | await books(place) | await money(place) | await model_calls(place)

    assert run(work) >= OWNED


async def planted_schedule(place: Place, subject: str) -> str:
    """Add a schedule of somebody's, who may run its action, and return its id."""
    from luminai.contracts.identity import Actor
    from luminai.host.schedule_checks import Timing
    from luminai.host.schedule_rows import NewSchedule

    await place.key("github:manage", subject=subject)
    declared = place.hub.generation.wiring.actions.find("github.reconcile")
    new = NewSchedule(name="mine", action=declared, raw=b"{}", timing=Timing(trigger="every: 1h", start=place.town.clock.now()))
    return (await place.hub.schedule_list.add(new, by=Actor("key", subject), origin="person")).id


async def planted_endpoint(place: Place, subject: str) -> str:
    """Make an endpoint for somebody, and return its id."""
    actor = Actor("key_test", subject, frozenset({"chat:read"}))
    url = "https://hook.example.org/"
    made, _ = await place.hub.endpoints.create(url=url, title="", types=["chat.TurnOpened"], everyone=False, by=actor)
    return made.id


async def work_of(place: Place, bob: Asker, kind: Any) -> None:
    """Ask for schedules, events and endpoints."""
    schedule = await planted_schedule(place, "bob")
    turns = (("GET", "", 200), ("PATCH", "", 200), ("POST", "/pause", 200), ("POST", "/resume", 200), ("POST", "/run", 202), ("DELETE", "", 204))
    for method, rest, status in turns:
        body = {"revision": 1, "name": "other"} if method == "PATCH" else None
        await kind(f"{method} /api/schedules/{{schedule:str}}{rest}", method, f"/api/schedules/ID{rest}", schedule, status, body)
    event = (await place.ask(bob, "GET", "/api/events")).json()["items"][0]["id"]
    await kind("GET /api/events/{event:str}", "GET", "/api/events/ID", event, 200)
    endpoint = await planted_endpoint(place, "bob")
    for method, rest, body, status in ENDPOINT:
        await kind(f"{method} /api/endpoints/{{endpoint:str}}{rest}", method, f"/api/endpoints/ID{rest}", endpoint, status, body)


async def planted_job(place: Place, subject: str) -> str:
    """Put a job for somebody, and return its id."""
    from datetime import timedelta

    from luminai.work.jobs import NewJob, put

    hub, now = place.hub, place.town.clock.now()
    later = now + timedelta(days=1)
    job = NewJob(plugin="chat", action="none", subject=subject, actor="key", trigger="http", input=b"{}", run_at=later)
    return await hub.database.write(lambda session: put(session, hub.vault, job, now))


async def planted_check(place: Place, person: str) -> str:
    """Give a person an identity check, and return its id."""
    from sqlalchemy import insert

    from luminai.data.tables_people import identity_checks

    now = place.town.clock.now()
    row = {"id": f"idc_{'c' * 32}", "person_id": person, "state": "verified", "checked_by": "desk", "created_at": now, "settled_at": now}
    await place.hub.database.write(lambda session: session.execute(insert(identity_checks).values(**row)) and None)
    return str(row["id"])


def _with(body: Any, one: str) -> Any:
    return {name: one if value == "ID" else value for name, value in body.items()} if body is not None else None


def test_idempotency_key__of_another__shows_nothing_and_does_nothing_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)
    key = {"idempotency-key": "the-same-for-both"}

    async def work(place: Place) -> None:
        ann, bob = place.exact["chat:write", "ann"], place.exact["chat:write", "bob"]
        body = {"message": SECRET}
        told = [await place.ask(who, "POST", "/api/chat", headers=key, body=body) for who in (bob, ann, bob)]
        assert [answer.status for answer in told] == [200] * 3
        sessions = [answer.json()["session_id"] for answer in told]
        assert sessions[0] == sessions[2] != sessions[1]
        path = f"/api/session/{sessions[0]}"
        foreign = await place.ask(ann, "DELETE", path, headers=key)
        own = [await place.ask(bob, "DELETE", path, headers=key) for _ in range(2)]
        again = await place.ask(ann, "DELETE", path, headers=key)
        assert [foreign.status, again.status] == [404, 404]
        assert [(answer.status, answer.headers.get("idempotency-replayed")) for answer in own] == [(204, None), (204, "true")]
        nobody = place.askers[0]
        free = [await place.ask(nobody, "POST", "/api/chat", headers=key, body=body) for _ in range(2)]
        assert [answer.json()["session_id"] for answer in free] == [None, None]

    run(work)


def test_stream__of_another__is_not_to_be_followed_and_ones_own_carries_only_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)
    stream = {"accept": "text/event-stream"}

    async def work(place: Place) -> tuple[str, Answer, Answer, str]:
        ann, bob = place.exact["chat:write", "ann"], place.exact["chat:write", "bob"]
        told = (await place.ask(bob, "POST", "/api/chat", body={"message": SECRET})).json()["session_id"]
        client = place.town.hub.client()
        answers = []
        for session in (told, "ses_" + ZEROS):
            headers = {**stream, "authorization": f"Bearer {ann.credential}"}
            answers.append(await client.request("POST", "/api/chat", json={"message": "And?", "session_id": session}, headers=headers))
        headers = {**stream, "authorization": f"Bearer {ann.credential}"}
        mine = await client.request("POST", "/api/chat", json={"message": "Hello?"}, headers=headers)
        return told, answers[0], answers[1], mine.text

    told, foreign, missing, mine = run(work)

    assert masked(foreign, told, "ses_" + ZEROS) == masked(missing, told, "ses_" + ZEROS)
    assert (foreign.status, code_of(foreign)) == (404, "chat.session-not-found")
    assert "event: end" in mine
    assert told not in mine
