"""Who somebody is, as an independent plugin finds out through the public plugin API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from identity.lives import Town, in_town
from sqlalchemy import select

from luminai.data.tables_people import identity_checks
from luminai.host import provider_guard
from luminai.host.calls import call_within

ADA = "ada@example.org"
CLAIM = {"name": "Ada Zanzibar", "born": "1985-12-10", "country": "CH", "address": "Nine Wooden Lane"}
CHECKER = """
    import asyncio
    from luminai import IDENTITY_CHECK_POINT, Extension, IdentityFinding, InvalidInput, Unavailable, hookimpl

    CLAIMS, ANSWERS = [], []

    class Desk:
        name = "desk"

        async def check(self, claim):
            CLAIMS.append(claim)
            if claim.country == "XX":
                raise InvalidInput("We do not know that country.", code="checker.unknown-country")
            answer = ANSWERS.pop(0)
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, BaseException):
                raise answer
            return answer

    class Plugin:
        @hookimpl
        def extensions(self, ctx):
            return [Extension(IDENTITY_CHECK_POINT, Desk())]
"""
PATH = "/api/users/verify-identity"


def checker(plugins: Any) -> Any:
    return plugins.make("checker", CHECKER, provides='["extensions"]')


def answers(*found: Any) -> Any:
    """Let the plugin answer so, one after the other, and return what it is asked."""
    import luminai_checker.plugin

    luminai_checker.plugin.ANSWERS[:] = found
    return luminai_checker.plugin.CLAIMS


def found(state: Any, *reasons: str, **more: str) -> Any:
    from luminai import IdentityFinding

    return IdentityFinding(state=state, reasons=reasons, **more)


@pytest.mark.shows("TL-30", "TL-32")
def test_identity_check__pending_then_settled__is_shown_audited_exported_and_erased(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        token, person = signed["access_token"], signed["person"]["id"]
        assert signed["person"]["identity_state"] == "none"
        asked = answers(found("pending", "A document is needed.", next_url="https://desk.example/9", reference="desk-9"))
        begun = await town.ask("POST", PATH, CLAIM, token=token)
        assert begun.status == 200, begun.text
        first = begun.json()
        assert (first["state"], first["reasons"], first["next_url"]) == ("pending", ["A document is needed."], "https://desk.example/9")
        again = await town.ask("POST", PATH, CLAIM, token=token)
        assert (again.status, again.json()["code"]) == (409, "identity-check-pending")
        assert (await town.ask("GET", "/api/users/profile", token=token)).json()["identity_state"] == "pending"

        exported = (await town.ask("POST", "/api/users/me/export", token=token)).json()
        (item,) = [one["data"] for one in exported["items"] if one["name"] == "identity_checks"]
        assert (item["claim"]["name"], item["finding"]["reasons"]) == ("Ada Zanzibar", ["A document is needed."])
        raw = await town.hub.hub.database.read(lambda session: session.execute(select(identity_checks)).one())
        assert not any(b"Zanzibar" in bytes(value) for value in (raw.claim, raw.finding)), "sealed"

        answers(found("rejected", "The document is not readable."))
        assert (await town.ask("POST", f"{PATH}/{first['id']}/refresh", {}, token=token)).json()["state"] == "rejected"
        assert [(one.id, one.reference) for one in asked] == [(first["id"], ""), (first["id"], "desk-9")], "the same check, asked twice"
        answers(found("verified"))
        assert (await town.ask("POST", PATH, CLAIM, token=token)).json()["state"] == "verified"
        assert (await town.ask("GET", "/api/users/profile", token=token)).json()["identity_state"] == "verified"
        listed = (await town.ask("GET", PATH, token=token)).json()["items"]
        assert [(one["state"], one["reasons"]) for one in listed] == [("verified", []), ("rejected", ["The document is not readable."])]
        settled = await town.hub.hub.database.read(lambda session: [row.claim for row in session.execute(select(identity_checks))])
        assert settled == [None, None], "what was claimed is forgotten once it is settled"
        log = (await town.operator("GET", "audit?action=identity-check")).json()["items"]
        assert [one["action"].partition(".")[2] for one in log] == ["verified", "start", "rejected", "start"]
        assert {(one["subject"], one["detail"]["check"]) for one in log} == {(person, "desk")}

        gone = await town.ask("POST", "/api/users/me/erase", {"confirm": ADA}, token=token)
        assert (gone.status, gone.json()["erased"]["core__identity_checks"]) == (200, 2)
        left = await town.hub.hub.database.read(lambda session: session.execute(select(identity_checks)).all())
        assert left == []

    in_town(work, also=[checker(plugins)])


def test_identity_check__without_a_plugin__is_refused_with_a_code_and_a_hint() -> None:
    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        refused = await town.ask("POST", PATH, CLAIM, token=token)
        assert (refused.status, refused.json()["code"]) == (404, "no-identity-check")
        assert "plugin" in refused.json()["hint"]
        assert (await town.ask("GET", PATH, token=token)).json()["items"] == []
        assert (await town.ask("POST", f"{PATH}/idc_{'0' * 32}/refresh", {}, token=token)).json()["code"] == "identity-check-not-found"
        assert (await town.hub.client("hub:people").request("POST", PATH, json=CLAIM)).json()["code"] == "not-a-session"

    in_town(work)


def test_identity_check__that_cannot_be_made__keeps_nothing_or_can_be_asked_again(plugins: Any) -> None:
    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        other = (await town.settle_in("bob@example.org"))["access_token"]
        asked = answers()
        for wrong in ({"born": "2199-01-01"}, {"born": "1700-01-01"}, {"country": "Switzerland"}, {"name": ""}, {"more": 1}):
            assert (await town.ask("POST", PATH, CLAIM | wrong, token=token)).status == 400
        assert asked == []
        unknown = await town.ask("POST", PATH, CLAIM | {"country": "XX"}, token=token)
        assert (unknown.status, unknown.json()["code"]) == (400, "checker.unknown-country")
        assert (await town.ask("GET", PATH, token=token)).json()["items"] == []
        assert (await town.ask("GET", "/api/users/profile", token=token)).json()["identity_state"] == "none"

        answers(ValueError("Ada Zanzibar"))
        failed = await town.ask("POST", PATH, CLAIM, token=token)
        assert (failed.status, failed.json()["code"]) == (503, "identity-check-failed")
        assert "Zanzibar" not in failed.text
        (kept,) = (await town.ask("GET", PATH, token=token)).json()["items"]
        assert kept["state"] == "pending"
        refresh = f"{PATH}/{kept['id']}/refresh"
        assert (await town.ask("POST", refresh, {}, token=other)).status == 404, "nobody else's"
        answers(
            {"state": "verified"}, found("verified", "x" * 201), found("pending", next_url="javascript:alert(1)"), SystemExit(3), found("verified")
        )
        for _ in range(4):
            assert (await town.ask("POST", refresh, {}, token=token)).json()["code"] == "identity-check-failed", (
                "no finding is taken that is not sound"
            )
        town.clock.advance(11)  # the breaker's rest
        assert (await town.ask("POST", refresh, {}, token=token)).json()["state"] == "verified"
        assert {one.id for one in asked[1:]} == {kept["id"]}
        stale = (await town.post("login", {"email": ADA, "password": "wrong"})).status
        assert stale == 401

    in_town(work, also=[checker(plugins)])


def test_identity_check__of_a_plugin_that_keeps_failing__rests_and_is_bounded(plugins: Any) -> None:
    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        asked = answers(*[OSError("down")] * 50)
        await town.ask("POST", PATH, CLAIM, token=token)
        (kept,) = (await town.ask("GET", PATH, token=token)).json()["items"]
        tried = [await town.ask("POST", f"{PATH}/{kept['id']}/refresh", {}, token=token) for _ in range(31)]
        assert {one.json()["code"] for one in tried[:30]} == {"identity-check-failed"}
        assert (tried[30].status, tried[30].json()["code"]) == (429, "too-many-tries")
        assert len(asked) < 10, "the breaker opened"
        shown = (await town.operator("GET", "plugins/perf")).json()
        assert "identity-check" in json.dumps(shown)

    in_town(work, also=[checker(plugins)])


def test_identity_check__at_once__begins_one(plugins: Any) -> None:
    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        asked = answers(*[found("pending")] * 4)
        tried = await asyncio.gather(*(town.ask("POST", PATH, CLAIM, token=token) for _ in range(4)))
        assert sorted(one.status for one in tried) == [200, 409, 409, 409]
        assert len(asked) == 1

    in_town(work, also=[checker(plugins)])


def test_identity_check__that_never_answers__is_cut_off_and_counts_as_a_failure(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def sooner(given: float, work: Any) -> Any:
        seconds.append(given)
        return call_within(0.01, work)

    monkeypatch.setattr(provider_guard, "call_within", sooner)

    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        answers(None, found("verified"))
        late = await town.ask("POST", PATH, CLAIM, token=token)
        assert (late.status, late.json()["code"]) == (503, "identity-check-failed")
        (channel,) = town.hub.hub.generation.wiring.providers.channels
        assert (channel.owner, channel.name, channel.failures) == ("checker", "identity-check", 1)
        (kept,) = (await town.ask("GET", PATH, token=token)).json()["items"]
        assert (await town.ask("POST", f"{PATH}/{kept['id']}/refresh", {}, token=token)).status == 200

    in_town(work, also=[checker(plugins)])
    assert seconds == [10.0, 10.0]
