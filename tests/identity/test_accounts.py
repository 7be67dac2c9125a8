"""The life of an account, and what its answers never tell."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from identity.lives import OPEN, OTHER, PASSWORD, Town, in_town, second_factor

from luminai.testing import FrozenClock, postgres, running_hub

ADA = "Ada.L@example.org"


def told(answer: Any) -> tuple[int, Any]:
    """Return status and body without what differs from request to request."""
    body = answer.json()
    return answer.status, {key: value for key, value in body.items() if key != "instance"} if isinstance(body, dict) else body


@pytest.mark.shows(
    "LR-10", "LW-18", "LW-19", "LW-20", "LW-54", "LW-D12", "PX-35", "PX-49", "TL-17", "TL-21", "TL-24", "TL-25", "TL-27", "TL-28", "TL-29"
)
def test_account__whole_life(plugins: Any) -> None:
    async def work(town: Town) -> None:
        made = await town.ask("POST", "/api/users/register", {"email": ADA, "password": PASSWORD, "name": "Ada"})
        assert (made.status, made.json()) == (202, {"next": "verify-email"})
        early = await town.try_login(ADA)
        assert (early.status, early.json()["code"]) == (403, "email-not-verified")
        link = await town.link(ADA)
        assert (await town.post("verify", {"token": link})).status == 200
        assert (await town.post("verify", {"token": link})).json()["code"] == "token-refused", "a link holds once"

        body = {"email": ADA.lower(), "password": PASSWORD, "cookie": False, "device": "Laptop"}
        first = (await town.ask("POST", "/api/users/login", body)).json()
        access = first["access_token"]
        state = (await town.ask("GET", "/api/auth/verify", token=access)).json()
        assert (state["subject"], state["session"], state["is_fresh"]) == (first["person"]["id"], first["session"], True)

        wish = {"preferences": {"theme": "high-contrast", "locale": "de-CH"}}
        assert (await town.ask("PATCH", "/api/users/profile", wish, token=access)).status == 200
        await town.ask("PATCH", "/api/users/profile", {"name": "Ada Lovelace", "preferences": {"audio": False}}, token=access)
        profile = (await town.ask("GET", "/api/users/profile", token=access)).json()
        assert profile["preferences"] == {"theme": "high-contrast", "audio": False, "locale": "de-CH"}
        assert (profile["name"], profile["email"]) == ("Ada Lovelace", ADA)
        for method in ("PATCH", "PUT"):
            beyond = await town.ask(method, "/api/users/profile", {"name": "Ada", "status": "active"}, token=access)
            assert beyond.status == 400, "nobody writes what the route does not offer"
        whole = await town.ask("PUT", "/api/users/profile", {"name": "A. Lovelace", "preferences": {"theme": "dark"}}, token=access)
        assert whole.json()["preferences"] == {"theme": "dark", "audio": True, "locale": "en"}, "what is left out is as at first"
        assert (await town.ask("GET", "/api/users/profile", token=access)).json() == whole.json()

        other = await town.login(ADA)
        change = {"password": PASSWORD, "new_password": OTHER}
        assert (await town.post("password/change", change | {"password": "wrong"}, token=access)).json()["code"] == "sign-in-refused"
        assert (await town.post("password/change", change, token=access)).status == 204
        assert (await town.holds(access), await town.holds(other["access_token"])) == (True, False)
        assert (await town.try_login(ADA)).status == 401
        assert "the password was changed" in (await town.letters(ADA))[-1].text

        assert (await town.post("password/forgot", {"email": ADA})).status == 202
        link = await town.link(ADA)
        weak = await town.post("password/reset", {"token": link, "password": "too short"})
        assert (weak.status, weak.json()["code"]) == (422, "weak-password")
        assert (await town.post("password/reset", {"token": link, "password": PASSWORD})).status == 204, "a weak try leaves the link"
        assert not await town.holds(access), "a reset ends every session"
        assert (await town.login(ADA))["person"]["id"] == profile["id"]

    in_town(work, plugins=plugins)


def test_verification__signs_in_by_the_letter(plugins: Any) -> None:
    async def work(town: Town) -> None:
        assert (await town.register(ADA)).json() == {"next": "verify-email"}
        entered = await town.post("verify", {"token": await town.link(ADA), "cookie": False, "device": "Laptop"})
        assert (entered.status, entered.headers["cache-control"]) == (200, "no-store")
        assert await town.holds(entered.json()["access_token"])
        assert entered.json()["refresh_token"]
        assert (await town.register("bob@example.org")).status == 202
        by_browser = await town.post("verify", {"token": await town.link("bob@example.org")})
        assert by_browser.json()["refresh_token"] == "", "it is in the cookie"
        assert "HttpOnly" in by_browser.headers["set-cookie"]

        await town.register("eve@example.org")
        link = await town.link("eve@example.org")
        person = (await town.operator("GET", "people?email=eve@example.org")).json()["items"][0]["id"]
        assert (await town.operator("POST", f"people/{person}/suspend")).status == 200
        assert (await town.post("verify", {"token": link})).json()["code"] == "token-refused", "a suspended person's links do not hold"

    in_town(work, plugins=plugins)


def test_registration__signs_in_at_once_only_where_the_operator_wants_no_address_confirmed(plugins: Any) -> None:
    async def work(town: Town) -> None:
        made = await town.register(ADA, cookie=False)
        assert (made.status, made.json()["next"], made.headers["cache-control"]) == (202, "portal", "no-store")
        signed = made.json()["signed_in"]
        assert await town.holds(signed["access_token"])
        assert (await town.post("refresh", {"refresh_token": signed["refresh_token"]})).status == 200
        again = await town.register(ADA, cookie=False)
        assert again.json() == {"next": "sign-in"}, "somebody else's account is not opened"

    in_town(work, plugins=plugins, settings=OPEN | {"identity": {"registration": "open", "verify-email": "off"}})

    async def without_mail(town: Town) -> None:
        assert told(await town.register(ADA)) == told(await town.register(ADA)) == (202, {"next": "sign-in"})

    in_town(without_mail)


def test_answers__do_not_tell_who_has_an_account(plugins: Any) -> None:
    async def work(town: Town) -> None:
        fresh = await town.register(ADA)
        again = await town.register(ADA.upper(), OTHER)
        assert told(fresh) == told(again)
        assert [mail.subject for mail in await town.letters(ADA)] == ["Confirm your address", "You have an account already"]
        assert (await town.try_login(ADA, OTHER)).status == 401, "the second registration changed nothing"

        wrong, nobody = await town.try_login(ADA, "wrong"), await town.try_login("nobody@example.org", "wrong")
        assert told(wrong) == told(nobody)
        known, unknown = [await town.post("password/forgot", {"email": email}) for email in (ADA, "nobody@example.org")]
        assert told(known) == told(unknown) == (202, None)
        assert await town.letters("nobody@example.org") == []

    in_town(work, plugins=plugins)


def test_link__expired_or_for_another_purpose__is_refused(plugins: Any) -> None:
    async def work(town: Town) -> None:
        await town.settle_in(ADA)
        await town.post("password/forgot", {"email": ADA})
        reset = await town.link(ADA)
        assert (await town.post("verify", {"token": reset})).json()["code"] == "token-refused"
        town.clock.advance(30 * 60)
        late = await town.post("password/reset", {"token": reset, "password": OTHER})
        assert late.json()["code"] == "token-refused"

    in_town(work, plugins=plugins)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"server": {"public_url": "https://hub.example"}}, "invitation-needed"),
        ({"server": {"host": "0.0.0.0"}}, "invitation-needed"),  # noqa: S104 - a hub that others can reach
        ({"identity": {"registration": "closed"}}, "registration-closed"),
        ({"server": {"host": "::1"}}, ""),
    ],
)
def test_sign_up__is_open_only_where_told_or_where_nobody_else_can_reach(settings: Any, code: str) -> None:
    async def work(town: Town) -> None:
        answer = await town.register(ADA)
        assert answer.status == (403 if code else 202)
        assert not code or answer.json()["code"] == code

    in_town(work, settings={name: {key.replace("_", "-"): value for key, value in table.items()} for name, table in settings.items()})


@pytest.mark.parametrize(
    "password",
    [
        "short but odd 7",
        "passwordpassword",
        "xxxxxxxxxxxxxxxxxxxx",
        "123456789123456789",
        "Ada.Lovelace-1815!",
        "ada.l@example.org",
        "luminai-hub-2026!",
    ],
)
def test_password__that_is_guessed_first__is_refused(password: str) -> None:
    async def work(town: Town) -> None:
        answer = await town.register(ADA, password[:14] if password.startswith("short") else password, name="Ada Lovelace")
        assert (answer.status, answer.json()["code"]) == (422, "weak-password")

    in_town(work)


def test_invitation__without_mail__token_is_handed_over_and_makes_the_account() -> None:
    async def work(town: Town) -> None:
        made = (await town.operator("POST", "people", {"email": ADA, "name": "Ada", "roles": ["viewer"]})).json()
        assert (made["person"]["status"], made["person"]["roles"]) == ("invited", ["viewer"])
        assert (await town.try_login(ADA)).status == 401
        again = (await town.operator("POST", "people", {"email": ADA})).json()
        assert again["person"]["id"] == made["person"]["id"]
        assert (await town.post("password/reset", {"token": made["token"], "password": PASSWORD})).status == 401, "only the last one holds"
        assert (await town.post("password/reset", {"token": again["token"], "password": PASSWORD})).status == 204
        signed = await town.login(ADA)
        assert (signed["person"]["status"], signed["person"]["name"]) == ("active", "Ada")
        assert (await town.operator("POST", "people", {"email": ADA})).json()["code"] == "already-there"

    in_town(work, settings={"identity": {"registration": "invite"}})


@pytest.mark.skipif(bool(postgres.server()), reason="it reads the file of SQLite")
def test_stored__neither_password_nor_token_nor_address_stands_in_the_data_folder(tmp_path: Path) -> None:
    async def work() -> list[bytes]:
        clock = FrozenClock()
        async with running_hub(folder=tmp_path, clock=clock) as hub:
            town = Town(hub, clock)
            signed = await town.settle_in("canary.person@example.org")
            secret, codes = await second_factor(town, signed)
            await town.ask("PATCH", "/api/users/profile", {"name": "Canaryname"}, token=signed["access_token"])
            again = await town.post("refresh", {"refresh_token": signed["refresh_token"]})
            tokens = [one[kind] for one in (signed, again.json()) for kind in ("refresh_token", "access_token")]
            texts = ["canary.person", "Canaryname", PASSWORD, secret, codes[0], codes[0].replace("-", ""), signed["device_token"], *tokens]
            held = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
            assert signed["person"]["id"].encode() in held, "the search looks where the rows are"
            return [one for one in [base64.b32decode(secret), *(text.encode() for text in texts)] if one in held]

    assert asyncio.run(work()) == []
