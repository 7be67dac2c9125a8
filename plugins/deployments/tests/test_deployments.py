"""Deployments are reported by whoever may, once each, and told to those who watch: live, as events, and as alerts when they fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from home import serving
from http_rooms import Square, hear, say, subscribe

from luminai.testing import FrozenClock, HubUnderTest, running_hub
from luminai_deployments.smoke import CONVERSATION

CONFIG = "[plugins.deployments]\nenabled = true\n"
DONE = {"environment": "prod", "url": "https://hub.example.org", "version": "v1.4.2"}


class Watcher:
    """Polls the room of what is deployed to prod."""

    def __init__(self, hub: HubUnderTest) -> None:
        self._client = hub.client("deployments:read")
        self._last = ""

    async def news(self) -> list[tuple[str, Any]]:
        """Return kind and data of what was told since the last time; the first time nothing."""
        answer = await self._client.request("GET", f"/api/live/poll?room=deployments.to.prod&after={self._last}")
        assert answer.status == 200, answer.body
        self._last = answer.json()["last"]
        return [(one["kind"], one["data"]) for one in answer.json()["events"]]


async def report(hub: HubUnderTest, /, key: str = "", **given: Any) -> Any:
    """Report as a pipeline does, and return the job."""
    pipeline = hub.client("deployments:report", subject="svc_pipeline")
    headers = {"prefer": "wait=20", **({"idempotency-key": key} if key else {})}
    answer = await pipeline.request("POST", "/api/actions/deployments.report", json={**DONE, **given}, headers=headers)
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.shows("LR-31", "LR-114")
def test_socket__hears_questions_their_r_and_what_is_deployed(tmp_path: Path) -> None:
    with serving(tmp_path / "home", config=CONFIG) as home:
        square = Square(home)
        asked = square.ask("POST", "/api/chat", {"message": "What is a generation?"}).json()
        with square.enter(square.key("chat:read", "deployments:read")[1]) as socket:
            subscribe(socket, f"chat.conversation.{asked['session_id']}")
            subscribe(socket, "deployments.to.prod")
            reply = square.ask("POST", "/api/chat", {"message": "And what is a swap?", "session_id": asked["session_id"]}).json()
            opened, closed = hear(socket), hear(socket)
            assert [one["kind"] for one in (opened, closed)] == ["turn-opened", "turn-closed"]
            assert closed["data"]["R"] == reply["R"]

            given = [f"{name}={value}" for name, value in DONE.items()]
            job = home.data("actions", "run", "deployments.report", *given, "--wait", "30")
            assert job["state"] == "succeeded", job
            told = hear(socket)
            assert (told["room"], told["kind"]) == ("deployments.to.prod", "deployment_complete")
            assert told["data"] == {"url": DONE["url"], "version": "v1.4.2", "R_baseline": job["output"]["R_baseline"]}
            assert 0 < told["data"]["R_baseline"] < 1

            say(socket, type="unsubscribe", room="deployments.to.prod", ref="2")
            assert hear(socket) == {"type": "left", "room": "deployments.to.prod", "ref": "2"}
            home.data("actions", "run", "deployments.report", *given, "--wait", "30")
            say(socket, type="ping", ref="3")
            assert hear(socket) == {"type": "pong", "ref": "3"}, "it left the room"


def test_report__is_told_once_and_scored_by_the_calculator_unless_measured_there() -> None:
    async def main() -> None:
        async with running_hub("resonance", "deployments") as hub:
            watcher = Watcher(hub)
            await watcher.news()
            first = await report(hub, key="build-17")
            assert await report(hub, key="build-17") == first, "a pipeline that tries again reports nothing twice"
            history = [{"role": said.role, "text": said.text, "age": said.age} for said in CONVERSATION.history]
            turn = {"message": CONVERSATION.message, "reply": CONVERSATION.reply, "history": history, "previous_sessions": 0}
            explained = await hub.client().request("POST", "/api/resonance/explain", json=turn)
            assert first["output"]["R_baseline"] == explained.json()["R"], "anybody can look where it comes from"
            measured = await report(hub, R_baseline=0.31, version="v2")
            assert measured["output"]["R_baseline"] == 0.31

            news = await watcher.news()
            assert [(kind, data["version"]) for kind, data in news] == [("deployment_complete", "v1.4.2"), ("deployment_complete", "v2")]
            events = (await hub.client("hub:events").request("GET", "/api/admin/events?type=deployments.Completed")).json()["items"]
            assert [(one["subject"], one["type"]) for one in events] == [("prod", "deployments.Completed")] * 2

    asyncio.run(main())


def test_report__that_may_not_be_or_makes_no_sense__tells_nothing() -> None:
    async def main() -> None:
        async with running_hub("resonance", "deployments") as hub:
            path, watcher = "/api/actions/deployments.report", Watcher(hub)
            await watcher.news()
            refused = await hub.client("deployments:read").request("POST", path, json=DONE)
            assert (refused.status, refused.json()["code"]) == (404, "unknown-action")
            wrong = {"environment": "moon", "url": "https://user:word@hub/", "version": "", "R_baseline": 2, "more": 1}
            answer = await hub.client("deployments:report").request("POST", path, json=wrong)
            assert (answer.status, answer.json()["code"]) == (400, "bad-action-input")
            assert [one.get("pointer", "") for one in answer.json()["errors"]] == ["", "/R_baseline", "/environment", "/url", "/version"]
            for client in (hub.client("deployments:report"), hub.client()):
                watched = await client.request("GET", "/api/live/poll?room=deployments.to.prod")
                assert watched.status in (401, 404)
            assert (await hub.client("hub:jobs").request("GET", "/api/admin/jobs")).json()["items"] == []
            assert await watcher.news() == []

    asyncio.run(main())


@pytest.mark.shows("TL-172d")
def test_failed_deployment__is_told_to_people_and_to_those_who_watch() -> None:
    mail = {"channels": {"on-call": {"kind": "mail", "to": ["ops@example.org"], "least": "critical"}}}

    async def main() -> None:
        clock = FrozenClock()
        async with running_hub("resonance", "deployments", clock=clock, settings={"alerts": mail}) as hub:

            async def letters() -> list[str]:
                clock.advance(15)
                await hub.hub.alerts.round()
                await hub.hub.alerts.settle()
                return [one["title"] for one in (await hub.client("hub:mail").request("GET", "/api/admin/mail")).json()["items"]]

            watcher = Watcher(hub)
            await report(hub)
            assert await letters() == []
            await watcher.news()
            job = await report(hub, failed=True, reason="smoke tests failed", version="v3")
            assert job["output"]["R_baseline"] is None, "what is not in service is not scored"
            assert await letters() == ["[critical] 1 deployments to prod failed."]
            assert await watcher.news() == [("deployment_failed", {"url": DONE["url"], "version": "v3", "reason": "smoke tests failed"})]
            clock.advance(901)
            assert (await letters())[0] == "[critical] Over: 1 deployments to prod failed."

    asyncio.run(main())
