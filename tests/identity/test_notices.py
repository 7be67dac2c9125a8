"""Sensitive actions send their person a letter: what, when, from where, what to do. One letter an event, and never a flood."""

from __future__ import annotations

from typing import Any

import pytest
from identity.lives import OTHER, PASSWORD, Town, in_town, second_factor
from identity.test_sms import enrolled, phone

ADA, BOB = "ada@example.org", "bob@example.org"


async def told(town: Town, to: str, seen: int) -> list[str]:
    """Return what the letters behind the first ``seen`` say."""
    return [mail.text for mail in (await town.letters(to))[seen:]]


@pytest.mark.shows("LR-131")
def test_sensitive_actions__send_the_person_one_letter_each(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        person, token = signed["person"]["id"], signed["access_token"]
        await town.operator("PUT", f"people/{person}/roles", {"roles": ["admin", "member"]})
        seen = len(await town.letters(ADA))
        assert "your roles were changed. They are now: admin, member." in (await town.letters(ADA))[-1].text
        assert "an operator of the hub" in (await town.letters(ADA))[-1].text

        async def does(method: str, path: str, body: Any, *words: str) -> None:
            nonlocal seen
            done = await town.ask(method, path, body, token=token)
            assert done.status < 300, done.text
            texts = await told(town, ADA, seen)
            assert len(texts) == 1, (path, texts)
            seen += 1
            now = f"{town.clock.now():%Y-%m-%d %H:%M} UTC"
            for word in (*words, now, "opened from 10.0.0.0/24", "If you do not expect this, reset your password now"):
                assert word in texts[0], (word, texts[0])

        wish = "/api/admin/plugins/notes/desired"
        await does("PUT", wish, {"enabled": False}, "plugins were changed: notes off.")
        await does("PUT", wish, {"enabled": True}, "plugins were changed: notes on.")
        await does("POST", "/api/admin/rollback", {}, "plugins were changed: ")
        await does("POST", "/api/keys", {"name": "mine", "scopes": ["hub:mail"]}, "the API key “mine” was made. It may: hub:mail.")
        town.clock.advance(3600)
        token = (await town.login(ADA))["access_token"]
        await does("PUT", "/api/admin/roles/reader", {"title": "Reads", "scopes": ["hub:audit"]}, "the role reader was changed", "hub:audit")
        change = {"password": PASSWORD, "new_password": OTHER}
        await does("POST", "/api/auth/password/change", change, "the password was changed. Other sessions were ended.")
        await does("POST", "/api/users/me/export", {}, "an export of all your data was asked for.")
        address = {"confirm": ADA}
        assert (await town.ask("POST", "/api/users/me/erase", address | {"dry_run": True}, token=token)).status == 200
        assert await told(town, ADA, seen) == [], "asking what would go is no erasure"
        await does("POST", "/api/users/me/erase", address, "your account and all your data are being erased, for good.")

    in_town(work, plugins=plugins, also=[plugins.make("notes")])


def test_second_factors__added_and_removed__are_told(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        token, seen = signed["access_token"], len(await town.letters(ADA))
        await enrolled(town, token)
        await second_factor(town, signed)
        for factor in ("sms", "totp"):
            assert (await town.post(f"{factor}/disable", token=token)).status == 204
        on, off = "a second factor was turned on: ", "the second factor was turned off: "
        words = (f"{on}a telephone", f"{on}an authenticator app, with new recovery codes", f"{off}the telephone", f"{off}the authenticator app")
        texts = await told(town, ADA, seen)
        assert len(texts) == 4
        assert [word for word, text in zip(words, texts, strict=True) if word not in text] == []

    in_town(work, plugins=plugins, also=[phone(plugins)])


def test_letters__that_only_tell__leave_room_for_those_that_are_waited_for(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        for count in range(20):
            roles = ["member"] if count % 2 else ["member", "viewer"]
            assert (await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": roles})).status == 200
        assert len(await town.letters(ADA)) == 12
        assert (await town.post("password/forgot", {"email": ADA})).status == 202
        reset = await town.post("password/reset", {"token": await town.link(ADA), "password": OTHER}, address="203.0.113.77")
        assert reset.status == 204
        town.clock.advance(3600)
        await town.post("password/forgot", {"email": ADA})
        again = {"token": await town.link(ADA), "password": PASSWORD}
        assert (await town.post("password/reset", again, address="2001:db8:7::9")).status == 204
        last = (await town.letters(ADA))[-1].text
        assert "the password was reset. All sessions were ended." in last
        assert "somebody at 2001:db8:7::/48 who read the letter" in last

    in_town(work, plugins=plugins)


def test_letters__about_what_nobody_signed_in_did__are_not_sent(plugins: Any) -> None:
    async def work(town: Town) -> None:
        await town.settle_in(ADA)
        signed = await town.settle_in(BOB)
        seen = len(await town.letters(ADA))
        refused = await town.ask("PUT", "/api/admin/plugins/notes/desired", {"enabled": False}, token=signed["access_token"])
        assert refused.status == 403
        assert (await town.operator("PUT", "plugins/notes/desired", {"enabled": False})).status == 200
        await town.hub.swap("notes", enabled=True)
        assert await told(town, ADA, seen) == []
        assert len(await town.letters(BOB)) == 1, "the confirmation of the address alone"

    in_town(work, plugins=plugins, also=[plugins.make("notes")])
