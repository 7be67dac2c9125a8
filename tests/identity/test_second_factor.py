"""Codes hold once, tries are counted, and a change of the factor ends other sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from identity.lives import PASSWORD, Town, in_town, second_factor

ADA = "ada@example.org"


async def challenge(town: Town) -> str:
    answer = await town.login(ADA)
    assert "access_token" not in answer
    token: str = answer["mfa_token"]
    return token


async def answer(town: Town, token: str, code: str) -> Any:
    return await town.post("mfa", {"mfa_token": token, "code": code, "cookie": False})


@pytest.mark.shows("TL-22")
def test_second_factor__code_holds_once_and_the_step_before_is_taken(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed, other = await town.settle_in(ADA), await town.login(ADA)
        secret, _ = await second_factor(town, signed)
        assert (await town.holds(signed["access_token"]), await town.holds(other["access_token"])) == (True, False)
        assert "a second factor was turned on" in (await town.letters(ADA))[-1].text

        first = await challenge(town)
        used = await answer(town, first, town.code(secret))
        assert (used.status, used.json()["code"]) == (401, "code-refused"), "the code that confirmed it was used up by that"
        town.clock.advance(60)
        assert (await answer(town, first, town.code(secret, steps=-2))).status == 401
        assert (await answer(town, first, town.code(secret, steps=1))).status == 401
        before = town.code(secret, steps=-1)
        opened = await answer(town, first, before)
        assert opened.status == 200
        assert await town.holds(opened.json()["access_token"])
        assert (await answer(town, first, town.code(secret))).json()["code"] == "challenge-refused", "a challenge is answered once"
        assert (await answer(town, await challenge(town), before)).json()["code"] == "code-refused"

    in_town(work, plugins=plugins)


def test_second_factor__same_code_at_once__opens_one_session() -> None:
    async def work(town: Town) -> list[int]:
        secret, _ = await second_factor(town, await town.settle_in(ADA))
        town.clock.advance(30)
        challenges = [await challenge(town) for _ in range(4)]
        tried = await asyncio.gather(*(answer(town, one, town.code(secret)) for one in challenges))
        return sorted(one.status for one in tried)

    assert in_town(work) == [200, 401, 401, 401]


def test_recovery_code__holds_once_and_instead_of_the_app() -> None:
    async def work(town: Town) -> None:
        _, codes = await second_factor(town, await town.settle_in(ADA))
        assert len(set(codes)) == 10
        assert all(len(code.replace("-", "")) == 24 for code in codes), "120 bits in base32"
        assert (await answer(town, await challenge(town), codes[3].upper().replace("-", " "))).status == 200
        assert (await answer(town, await challenge(town), codes[3])).json()["code"] == "code-refused"
        assert (await answer(town, await challenge(town), codes[4])).status == 200

    in_town(work)


def test_codes__five_tries_a_challenge_and_ten_an_hour_exactly() -> None:
    async def work(town: Town) -> None:
        secret, _ = await second_factor(town, await town.settle_in(ADA))  # counts as the first of ten
        town.clock.advance(3600)
        first = await challenge(town)
        tried = await asyncio.gather(*(answer(town, first, "000000") for _ in range(12)))
        assert sorted(one.json()["code"] for one in tried) == ["challenge-refused"] * 7 + ["code-refused"] * 5
        assert (await answer(town, first, town.code(secret))).json()["code"] == "challenge-refused", "even the right one"
        second, third = await challenge(town), await challenge(town)
        tried = await asyncio.gather(*(answer(town, one, "000000") for one in (second, third) for _ in range(5)))
        assert sorted(one.json()["code"] for one in tried) == ["code-refused"] * 5 + ["too-many-tries"] * 5
        town.clock.advance(360)
        assert (await answer(town, await challenge(town), town.code(secret))).status == 200, "one more every six minutes"

    in_town(work)


def test_second_factor__is_asked_for_when_authenticating_again_and_can_be_turned_off() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        secret, _ = await second_factor(town, signed)
        town.clock.advance(11 * 60)
        token = (await town.post("refresh", {"refresh_token": signed["refresh_token"]})).json()["access_token"]
        assert (await town.post("totp/disable", token=token)).json()["code"] == "step-up-required"
        assert (await town.post("reauthenticate", {"password": PASSWORD}, token=token)).json()["code"] == "code-needed"
        assert (await town.post("reauthenticate", {"password": PASSWORD, "code": "000000"}, token=token)).json()["code"] == "code-refused"
        again = {"password": PASSWORD, "code": town.code(secret)}
        assert (await town.post("reauthenticate", again, token=token)).status == 204
        assert (await town.post("totp/disable", token=token)).status == 204
        assert "access_token" in await town.login(ADA)
        assert (await town.post("totp/disable", token=token)).json()["code"] == "no-second-factor"

    in_town(work)


def test_enrolment__not_confirmed__changes_nothing() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        token = signed["access_token"]
        assert (await town.post("totp/confirm", {"code": "123456"}, token=token)).json()["code"] == "nothing-to-confirm"
        begun = (await town.post("totp/enrol", token=token)).json()
        assert begun["uri"].startswith("otpauth://totp/LuminAI:ada%40example.org?")
        assert (await town.post("totp/confirm", {"code": town.code(begun["secret"], steps=3)}, token=token)).json()["code"] == "code-refused"
        assert "access_token" in await town.login(ADA)

    in_town(work)


def test_second_factor__with_one__a_password_may_be_shorter_but_not_common() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        secret, _ = await second_factor(town, signed)
        for old, new, status in ((PASSWORD, "kx9-blue", 204), ("kx9-blue", "iloveyou", 422), ("kx9-blue", "kx9-blu", 422)):
            town.clock.advance(30)
            change = {"password": old, "new_password": new, "code": town.code(secret)}
            answered = await town.post("password/change", change, token=signed["access_token"])
            assert answered.status == status, (new, answered.text)

    in_town(work)
