"""A telephone as a second factor. The messages are recorded by a plugin over the public plugin API: no independent telephone network runs offline."""

from __future__ import annotations

from typing import Any

import pytest
from identity.lives import PASSWORD, Town, in_town, second_factor
from sqlalchemy import select

from luminai.data.tables_people import one_time_tokens, people

ADA = "ada@example.org"
NUMBER = "+41791234567"
PHONE = """
    from luminai import SMS_POINT, Extension, InvalidInput, Unavailable, hookimpl

    SENT, FAULTS = [], []

    class Network:
        name = "recorder"

        async def send(self, message):
            if FAULTS:
                raise FAULTS.pop(0)
            if message.to.endswith("000"):
                raise InvalidInput("no such number")
            SENT.append(message)

    class Plugin:
        @hookimpl
        def extensions(self, ctx):
            return [Extension(SMS_POINT, Network())]
"""


def phone(plugins: Any) -> Any:
    return plugins.make("phone", PHONE, provides='["extensions"]')


def sent() -> Any:
    import luminai_phone.plugin

    return luminai_phone.plugin.SENT


def last_code() -> str:
    return str(sent()[-1].text[:6])


def wrong_code() -> str:
    return f"{(int(last_code()) + 1) % 1_000_000:06}"


async def enrolled(town: Town, token: str, number: str = NUMBER) -> Any:
    asked = await town.post("sms/enrol", {"number": number}, token=token)
    assert (asked.status, asked.json()) == (200, {"ending": number[-2:], "expires_in": 300}), asked.text
    done = await town.post("sms/confirm", {"code": last_code()}, token=token)
    assert done.status == 200, done.text
    return done.json()["recovery_codes"]


async def answer(town: Town, mfa_token: str, code: str) -> Any:
    return await town.post("mfa", {"mfa_token": mfa_token, "code": code, "cookie": False})


@pytest.mark.shows("TL-147")
def test_sms__enrolled_used_beside_the_app_and_removed(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed, other = await town.settle_in(ADA), await town.login(ADA)
        token = signed["access_token"]
        recovery = await enrolled(town, token)
        assert len(recovery) == 10, "the first factor comes with recovery codes"
        assert (sent()[-1].to, len(last_code())) == (NUMBER, 6)
        assert not await town.holds(other["access_token"]), "other sessions end"
        row = await town.hub.hub.database.read(lambda session: session.execute(select(people)).one())
        assert NUMBER.encode() not in bytes(row.phone)
        exported = (await town.ask("POST", "/api/users/me/export", token=token)).json()
        assert next(one["data"]["phone"] for one in exported["items"] if one["name"] == "people") == NUMBER

        challenge = await town.login(ADA)
        assert challenge["methods"] == ["sms"]
        assert (await town.post("mfa/sms", {"mfa_token": challenge["mfa_token"]})).status == 200
        assert (await answer(town, challenge["mfa_token"], wrong_code())).json()["code"] == "code-refused"
        code = last_code()
        opened = await answer(town, challenge["mfa_token"], code)
        assert (opened.status, opened.json()["person"]["second_factors"]) == (200, ["sms"])
        following = await town.login(ADA)
        assert (await answer(town, following["mfa_token"], code)).json()["code"] == "code-refused", "a code holds once"
        assert (await answer(town, following["mfa_token"], recovery[0])).status == 200

        await second_factor(town, signed)
        both = await town.login(ADA)
        assert both["methods"] == ["totp", "sms"], "the app is preferred"
        town.clock.advance(1800)
        again = await town.login(ADA)
        assert (await town.post("mfa/sms", {"mfa_token": again["mfa_token"]})).status == 200
        token = (await answer(town, again["mfa_token"], last_code())).json()["access_token"]
        assert (await town.post("sms/disable", token=token)).status == 204
        assert (await town.post("sms/disable", token=token)).json()["code"] == "no-second-factor"
        assert (await town.login(ADA))["methods"] == ["totp"]
        gone = await town.hub.hub.database.read(lambda session: session.execute(select(people.c.phone, people.c.phone_pending)).one())
        assert tuple(gone) == (None, None)

    in_town(work, also=[phone(plugins)])


def test_sms__unlocks_what_asks_for_a_fresh_sign_in(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        await enrolled(town, signed["access_token"])
        town.clock.advance(11 * 60)
        token = (await town.post("refresh", {"refresh_token": signed["refresh_token"]})).json()["access_token"]
        assert (await town.post("sms/disable", token=token)).json()["code"] == "step-up-required"
        assert (await town.post("reauthenticate", {"password": PASSWORD}, token=token)).json()["code"] == "code-needed"
        assert (await town.post("sms/send", token=token)).status == 200
        assert (await town.post("reauthenticate", {"password": PASSWORD, "code": last_code()}, token=token)).status == 204
        assert (await town.post("sms/disable", token=token)).status == 204
        assert "access_token" in await town.login(ADA), "and its recovery codes went with it"

    in_town(work, also=[phone(plugins)])


def test_sms__code__holds_five_minutes_and_five_tries_and_lies_nowhere(plugins: Any) -> None:
    async def work(town: Town) -> None:
        token = (await town.settle_in(ADA))["access_token"]
        assert (await town.post("sms/confirm", {"code": "123456"}, token=token)).json()["code"] == "nothing-to-confirm"
        await town.post("sms/enrol", {"number": NUMBER}, token=token)
        code = last_code()
        rows = await town.hub.hub.database.read(lambda session: session.execute(select(one_time_tokens)).all())
        assert not any(code.encode() in bytes(row.digest) for row in rows)
        for _ in range(5):
            assert (await town.post("sms/confirm", {"code": wrong_code()}, token=token)).json()["code"] == "code-refused"
        assert (await town.post("sms/confirm", {"code": code}, token=token)).json()["code"] == "code-refused", "even the right one"
        await town.post("sms/enrol", {"number": NUMBER}, token=token)
        town.clock.advance(300)
        assert (await town.post("sms/confirm", {"code": last_code()}, token=token)).json()["code"] == "code-refused"
        assert "access_token" in await town.login(ADA), "what is not confirmed is no second factor"

    in_town(work, also=[phone(plugins)])


def test_sms__messages_are_limited_by_person_and_by_number(plugins: Any) -> None:
    async def work(town: Town) -> None:
        ada, bob = await town.settle_in(ADA), await town.settle_in("bob@example.org")
        before = len(sent())
        tried = [await town.post("sms/enrol", {"number": NUMBER}, token=ada["access_token"]) for _ in range(4)]
        assert [one.status for one in tried] == [200, 200, 200, 429]
        other = await town.post("sms/enrol", {"number": NUMBER}, token=bob["access_token"])
        assert (other.status, other.json()["code"]) == (429, "too-many-tries"), "nobody is flooded through several accounts"
        assert len(sent()) - before == 3
        town.clock.advance(600)
        later = (await town.login(ADA))["access_token"]
        assert (await town.post("sms/enrol", {"number": NUMBER}, token=later)).status == 200

    in_town(work, also=[phone(plugins)])


def test_sms__that_cannot_be_sent__is_refused_clearly(plugins: Any) -> None:
    async def work(town: Town) -> None:
        import luminai_phone.plugin

        signed = await town.settle_in(ADA)
        token = signed["access_token"]
        for number in ("0791234567", "+0791234567", "+41 79 123", "+4179123456789012", "+41a"):
            assert (await town.post("sms/enrol", {"number": number}, token=token)).status == 400
        assert (await town.post("sms/enrol", {"number": "+41791230000"}, token=token)).json()["code"] == "bad-number"
        luminai_phone.plugin.FAULTS.append(SystemExit(NUMBER))
        failed = await town.post("sms/enrol", {"number": NUMBER}, token=token)
        assert (failed.status, failed.json()["code"]) == (503, "sms-not-sent")
        assert NUMBER not in failed.text
        assert (await town.post("mfa/sms", {"mfa_token": "x" * 43})).json()["code"] == "challenge-refused"
        recovery = await enrolled(town, token)
        challenge = await town.login(ADA)
        await town.hub.swap("phone", enabled=False)
        refused = await town.post("mfa/sms", {"mfa_token": challenge["mfa_token"]})
        assert (refused.status, refused.json()["code"]) == (404, "no-sms")
        assert (await answer(town, challenge["mfa_token"], recovery[0])).status == 200, "a recovery code still opens the door"
        bob = await town.settle_in("bob@example.org")
        none = await town.post("sms/enrol", {"number": NUMBER}, token=bob["access_token"])
        assert (none.status, none.json()["code"]) == (404, "no-sms")
        assert "totp" in none.json()["hint"]

    in_town(work, also=[phone(plugins)])
