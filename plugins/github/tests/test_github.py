"""GitHub's deliveries: only genuine ones count, each of them once, and what they mean reaches the hub's events."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import home
import pytest

from luminai.http.inprocess import InProcessClient
from luminai.testing import FrozenClock, running_hub

KEY, OLD = "It's a Secret to Everybody", "the secret before that one"
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
COMMON = {"repository": {"full_name": "Codertocat/Hello-World", "default_branch": "main"}, "sender": {"login": "Codertocat"}, "installation": {}}
PUSH = COMMON | {
    "ref": "refs/heads/main",
    "before": "0" * 40,
    "after": COMMIT,
    "compare": "https://github.com/Codertocat/Hello-World/compare/a...b",
    "commits": [
        {"id": COMMIT, "added": ["docs/security/keys.md", "src/main.py"], "modified": ["README.md"], "removed": []},
        {"id": COMMIT, "added": ["docs/security/deep/more.txt"], "modified": ["README.md"], "removed": ["docs/other.md"]},
    ],
}
PULL = COMMON | {"action": "opened", "number": 2, "pull_request": {"number": 2, "title": "Update\nREADME", "html_url": "javascript:alert(1)"}}
ISSUE = COMMON | {
    "action": "edited",
    "issue": {"number": 1, "title": "Spelling error", "html_url": "https://github.com/Codertocat/Hello-World/issues/1"},
}
RELEASE = COMMON | {"action": "published", "release": {"tag_name": "0.0.1", "name": None, "html_url": "https://github.com/x"}}
PING = {"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {}}


def encoded(payload: Any) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


BODY = encoded(PUSH)


def headers(body: bytes = BODY, event: str = "push", delivery: str = DELIVERY, key: str = KEY) -> dict[str, str]:
    signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-delivery": delivery,
        "x-github-event": event,
        "x-hub-signature": "sha1=" + hmac.new(key.encode(), body, hashlib.sha1).hexdigest(),
        "x-hub-signature-256": f"sha256={signature}",
    }


def without(name: str, **changes: str) -> dict[str, str]:
    return {key: value for key, value in (headers() | changes).items() if key != name}


def on_hub(tmp_path: Path, work: Any, *, clock: Any = None, folder: Path | None = None, **config: Any) -> Any:
    """Run ``work(hub)`` on a hub with the plugin, its secret in a file."""
    (tmp_path / "new").write_text(KEY + "\n")
    (tmp_path / "old").write_text(OLD)
    config = {"secrets": [f"file:{tmp_path / 'new'}", f"file:{tmp_path / 'old'}"]} | config

    async def main() -> Any:
        async with running_hub("github", config={"github": config}, clock=clock, folder=folder) as hub:
            return await work(hub)

    return asyncio.run(main())


async def deliver(hub: Any, payload: Any = PUSH, event: str = "push", delivery: str = DELIVERY, key: str = KEY) -> Any:
    body = encoded(payload)
    answer = await hub.client().request("POST", "/api/webhook/github", body=body, headers=headers(body, event, delivery, key))
    await hub.hub.webhooks.settle()
    return answer


async def listed(hub: Any, query: str = "") -> list[Any]:
    found: list[Any] = (await hub.client("github:read").request("GET", f"/api/github/deliveries{query}")).json()["items"]
    return found


async def published(hub: Any) -> list[tuple[str, Any]]:
    from luminai.data.tables_events import events

    rows = await hub.hub.database.read(lambda session: session.execute(events.select().order_by(events.c.id)).all())
    return [(row.type, row.payload) for row in rows]


def test_push__to_a_branch_that_counts__is_queued_kept_and_published(tmp_path) -> None:
    async def work(hub: Any) -> None:
        answer = await deliver(hub)
        assert (answer.status, answer.json()["queued"]) == (202, 1)
        (found,) = await listed(hub)
        assert found["delivery_id"] == DELIVERY
        assert found["happening"] == {
            "event": "push",
            "action": "",
            "repository": "Codertocat/Hello-World",
            "sender": "Codertocat",
            "title": "2 commits",
            "url": "https://github.com/Codertocat/Hello-World/compare/a...b",
            "ref": "refs/heads/main",
            "commit": COMMIT,
            "number": 0,
            "documents": {"other": ["README.md", "docs/other.md"], "security": ["docs/security/deep/more.txt", "docs/security/keys.md"]},
            "complete": True,
        }
        assert await published(hub) == [("github.Pushed", found["happening"])]

    on_hub(tmp_path, work)


@pytest.mark.parametrize(
    ("event", "payload", "type_", "expected"),
    [
        ("pull_request", PULL, "github.PullRequestChanged", {"action": "opened", "number": 2, "title": "Update README", "url": ""}),
        ("issues", ISSUE, "github.IssueChanged", {"action": "edited", "number": 1, "title": "Spelling error"}),
        ("release", RELEASE, "github.ReleaseChanged", {"action": "published", "ref": "0.0.1", "title": "0.0.1"}),
    ],
)
def test_event__that_counts__is_published(tmp_path, event: str, payload: Any, type_: str, expected: dict[str, Any]) -> None:
    async def work(hub: Any) -> None:
        assert (await deliver(hub, payload, event)).json()["queued"] == 1
        ((kind, happening),) = await published(hub)
        assert kind == type_
        assert {name: happening[name] for name in expected} == expected

    on_hub(tmp_path, work)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("ping", PING),
        ("star", COMMON | {"action": "created"}),
        ("push", PUSH | {"ref": "refs/heads/feature/x"}),
        ("push", PUSH | {"ref": "refs/tags/main"}),
        ("push", PUSH | {"after": "0" * 40, "commits": []}),
    ],
    ids=["ping", "another event", "another branch", "a tag of that name", "the branch was deleted"],
)
def test_event__that_does_not_count__is_acknowledged_and_does_nothing(tmp_path, event: str, payload: Any) -> None:
    async def work(hub: Any) -> None:
        answer = await deliver(hub, payload, event)
        assert (answer.status, answer.json()["queued"]) == (202, 0)
        assert await listed(hub) == []
        assert await published(hub) == []

    on_hub(tmp_path, work)


OTHER = encoded(PUSH | {"after": "a" * 40})
BAD_REF = encoded(PUSH | {"ref": "refs/heads/a b\n"})
STRANGER = encoded(PUSH | {"repository": {"full_name": "some/other"}})


@pytest.mark.shows("LR-D13")
@pytest.mark.parametrize(
    ("body", "sent", "status", "code"),
    [
        pytest.param(BODY, without("x-hub-signature-256") | {"x-hub-signature": ""}, 401, "signature-missing", id="no signature"),
        pytest.param(BODY, headers() | {"x-hub-signature-256": "", "x-hub-signature": ""}, 401, "signature-missing", id="an empty one"),
        pytest.param(BODY, without("x-hub-signature-256"), 401, "signature-missing", id="SHA-1 alone"),
        pytest.param(BODY, headers() | {"x-hub-signature-256": headers()["x-hub-signature"]}, 401, "bad-signature", id="SHA-1 in its place"),
        pytest.param(BODY, headers(key="It's a secret to everybody"), 401, "bad-signature", id="a wrong key"),
        pytest.param(BODY, headers(key=""), 401, "bad-signature", id="the empty key"),
        pytest.param(BODY, headers(key=KEY + "\n"), 401, "bad-signature", id="the key with the line end of its file"),
        pytest.param(BODY, headers(key=OLD), 401, "bad-signature", id="the old key after its last day"),
        pytest.param(json.dumps(PUSH, indent=1).encode(), headers(), 401, "bad-signature", id="encoded again"),
        pytest.param(BODY.replace(b"README", b"readme"), headers(), 401, "bad-signature", id="a word changed"),
        pytest.param(BODY + b"\n", headers(), 401, "bad-signature", id="one byte more"),
        pytest.param(BODY[:-1], headers(), 401, "bad-signature", id="one byte less"),
        pytest.param(OTHER, headers(), 401, "bad-signature", id="the signature of another body"),
        pytest.param(BODY, headers() | {"x-hub-signature-256": headers()["x-hub-signature-256"][7:]}, 401, "bad-signature", id="no prefix"),
        pytest.param(BODY, headers() | {"x-hub-signature-256": headers()["x-hub-signature-256"].upper()}, 401, "bad-signature", id="capitals"),
        pytest.param(BODY, headers() | {"x-hub-signature-256": "sha256=é"}, 401, "bad-signature", id="not ASCII"),
        pytest.param(b"", headers(b""), 400, "empty-body", id="0 bytes"),
        pytest.param(b" " * 1_048_577, headers(b" " * 1_048_577), 413, "body-too-large", id="larger than the bound"),
        pytest.param(zlib.compress(BODY), headers() | {"content-encoding": "gzip"}, 415, "content-encoding-refused", id="gzip"),
        pytest.param(zlib.compress(BODY), headers(), 401, "bad-signature", id="compressed in secret"),
        pytest.param(BODY, without("x-github-event"), 400, "github.bad-headers", id="no event"),
        pytest.param(BODY, headers(event="push\u00e9"), 400, "github.bad-headers", id="no event of GitHub"),
        pytest.param(BODY, without("x-github-delivery"), 400, "github.bad-headers", id="no delivery id"),
        pytest.param(BODY, headers(delivery="x" * 101), 400, "github.bad-headers", id="too long a delivery id"),
        pytest.param(BODY, headers(event="release"), 400, "github.bad-payload", id="a push named a release"),
        pytest.param(b"payload=%7B%7D", headers(b"payload=%7B%7D"), 400, "github.bad-payload", id="a form"),
        pytest.param(b"[" * 50_000, headers(b"[" * 50_000), 400, "github.bad-payload", id="nested without end"),
        pytest.param(b"\xff\xfe", headers(b"\xff\xfe"), 400, "github.bad-payload", id="not UTF-8"),
        pytest.param(BAD_REF, headers(BAD_REF), 400, "github.bad-ref", id="a ref that git refuses"),
        pytest.param(STRANGER, headers(STRANGER), 403, "github.repository-refused", id="another repository"),
    ],
)
def test_delivery__not_genuine_or_not_for_us__is_refused_and_leaves_nothing(
    tmp_path, body: bytes, sent: dict[str, str], status: int, code: str
) -> None:
    async def work(hub: Any) -> None:
        answer = await hub.client().request("POST", "/api/webhook/github", body=body, headers=sent)
        await hub.hub.webhooks.settle()
        assert (answer.status, answer.json()["code"]) == (status, code)
        assert KEY not in answer.text
        assert await listed(hub) == []
        assert (await hub.client("hub:webhooks").request("GET", "/api/admin/webhooks")).json()["items"] == []

    config = {"repositories": ["codertocat/hello-world"], "old-secrets-until": "2025-12-31"}
    on_hub(tmp_path, work, clock=FrozenClock(), **config)


def test_signature_header__twice__is_refused(tmp_path) -> None:
    async def work(hub: Any) -> Any:
        async def doubling(scope: Any, receive: Any, send: Any) -> None:
            scope["headers"].insert(0, (b"X-Hub-Signature-256".lower(), b"sha256=" + b"0" * 64))
            await hub.hub.edge(scope, receive, send)

        return await InProcessClient(doubling).request("POST", "/api/webhook/github", body=BODY, headers=headers())

    answer = on_hub(tmp_path, work)
    assert (answer.status, answer.json()["code"]) == (400, "duplicate-header")


def test_old_secret__on_its_last_day__still_holds(tmp_path) -> None:
    async def work(hub: Any) -> int:
        return (await deliver(hub, key=OLD)).status

    assert on_hub(tmp_path, work, clock=FrozenClock(), **{"old-secrets-until": "2026-01-01"}) == 202


def test_secret__replaced_while_the_hub_runs__holds_at_once(tmp_path) -> None:
    async def work(hub: Any) -> list[int]:
        (tmp_path / "new").write_text("quite another secret")
        return [(await deliver(hub)).status, (await deliver(hub, key="quite another secret")).status]

    assert on_hub(tmp_path, work) == [401, 202]


def test_plugin__without_a_secret__takes_nothing_and_says_so(tmp_path) -> None:
    async def work(hub: Any) -> None:
        answer = await deliver(hub)
        assert (answer.status, answer.json()["code"]) == (503, "webhook-not-set-up")
        assert (await deliver(hub, key="")).status == 503
        checks = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()["checks"]
        assert ("secrets", "degraded") in [(check["name"], check["state"]) for check in checks]

    on_hub(tmp_path, work, secrets=[])


@pytest.mark.shows("LR-D13")
def test_delivery__replayed__is_a_no_op_with_the_same_answer(tmp_path) -> None:
    async def work(hub: Any) -> None:
        first = await deliver(hub)
        again = await asyncio.gather(*(deliver(hub) for _ in range(100)))
        relabelled = await deliver(hub, delivery="00000000-0000-0000-0000-000000000000")
        assert (first.status, first.json()["queued"]) == (202, 1)
        assert {(answer.status, answer.text) for answer in [*again, relabelled]} == {(200, first.text)}
        assert len(await listed(hub)) == 1
        assert len(await published(hub)) == 1

    on_hub(tmp_path, work)


@pytest.mark.shows("LR-07")
def test_redelivery__after_the_hub_forgot_it__has_no_second_effect(tmp_path) -> None:
    clock = FrozenClock()

    async def work(hub: Any) -> None:
        await deliver(hub)
        clock.advance(31 * 86_400)
        await hub.hub.webhooks.settle()
        assert (await hub.client("hub:webhooks").request("GET", "/api/admin/webhooks")).json()["items"] == []
        assert (await deliver(hub)).status == 202
        assert len(await listed(hub)) == 1
        assert len(await published(hub)) == 1

    on_hub(tmp_path, work, clock=clock)


def test_deliveries__listed_by_pages__for_holders_of_the_scope(tmp_path) -> None:
    async def work(hub: Any) -> None:
        for number in range(3):
            await deliver(hub, ISSUE | {"issue": {"number": number, "title": "x"}}, "issues", f"d-{number}")
        page = (await hub.client("github:read").request("GET", "/api/github/deliveries?limit=2")).json()
        rest = await listed(hub, f"?limit=2&cursor={page['next_cursor']}")
        assert [item["delivery_id"] for item in [*page["items"], *rest]] == ["d-2", "d-1", "d-0"]
        assert await listed(hub, "?repository=some/other") == []
        assert (await hub.client().request("GET", "/api/github/deliveries")).status == 401
        assert (await hub.client("chat:read").request("GET", "/api/github/deliveries")).status == 403

    on_hub(tmp_path, work)


def test_push__of_more_than_can_be_listed__says_so(tmp_path) -> None:
    async def work(hub: Any) -> None:
        many = {"added": [f"docs/reference/page-number-{number}.md" for number in range(20_000)], "modified": [], "removed": []}
        assert 600_000 < len(encoded(many)) < 1_048_576, "more than other routes take, less than this one does"
        assert (await deliver(hub, PUSH | {"commits": [many]})).status == 202
        (found,) = await listed(hub)
        assert found["happening"]["complete"] is False
        assert len(found["happening"]["documents"]["reference"]) == 1000

    on_hub(tmp_path, work)


@pytest.mark.shows("LR-D13")
def test_delivery__over_a_socket__is_seen_by_the_operators_command(tmp_path, monkeypatch) -> None:
    (tmp_path / "key").write_text(KEY)
    section = f'[plugins.github]\nenabled = true\napprove = ["secrets", "webhooks"]\n[plugins.github.config]\nsecrets = ["file:{tmp_path / "key"}"]\n'
    monkeypatch.setattr(home, "CONFIG", section)
    with home.serving(tmp_path / "served") as hub:
        request = Request(hub.env["LUMINAI_URL"] + "/api/webhook/github", data=BODY, headers=headers(), method="POST")  # noqa: S310 - the hub of this test
        with urlopen(request) as answer:  # noqa: S310 - same
            assert (answer.status, json.load(answer)["queued"]) == (202, 1)
        with urlopen(request) as again:  # noqa: S310 - same
            assert again.status == 200
        (found,) = hub.data("webhooks", "list", "--plugin", "github")
        assert (found["delivery_id"], found["summary"]) == (DELIVERY, "push Codertocat/Hello-World")
        assert hub.data("webhooks", "show", found["id"])["id"] == found["id"]
        assert hub.refusal("webhooks", "show", "whd_" + "0" * 32)[1] == "delivery-not-found"
        assert hub.data("webhooks", "list", "--state", "dead") == []
