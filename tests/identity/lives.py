"""A hub with people in it, a clock that moves when told, and a plugin that keeps the letters."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pyotp

from luminai.host.discovery import InstalledPlugin
from luminai.http.inprocess import Answer
from luminai.testing import FrozenClock, running_hub
from luminai.testing.harness import HubUnderTest

PASSWORD = "nine wooden ladders"
OTHER = "some purple teapots"
OPEN = {"identity": {"registration": "open"}}
CARRIER = """
    from luminai import MAIL_POINT, Extension, hookimpl

    SENT = []

    class Carrier:
        name = "carrier"

        async def send(self, mail):
            SENT.append(mail)

    class Plugin:
        @hookimpl
        def extensions(self, ctx):
            return [Extension(MAIL_POINT, Carrier())]
"""
MANIFEST = 'manifest = 1\nid = "carrier"\ntitle = "Carrier"\nsummary = "Made by a test."\napi = ">=1.0,<2"\nprovides = ["extensions"]\n'


class Town:
    """Requests of people to one hub, each from an address of its own unless one is given."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        self._addresses = itertools.count(1)

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = "", address: str = "", headers: Any = None) -> Answer:
        count = next(self._addresses)
        client = self.hub.client(address=address or f"10.{count >> 16}.{count >> 8 & 255}.{count & 255}")
        sent = dict(headers or {}) | ({"authorization": f"Bearer {token}"} if token else {})
        return await client.request(method, path, json=body, headers=sent)

    async def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return await self.ask("POST", f"/api/auth/{path}", {} if body is None else body, **more)

    async def register(self, email: str, password: str = PASSWORD, **more: Any) -> Answer:
        return await self.post("register", {"email": email, "password": password, **more})

    async def try_login(self, email: str, password: str = PASSWORD, **more: Any) -> Answer:
        address = more.pop("address", "")
        return await self.post("login", {"email": email, "password": password, "cookie": False, **more}, address=address)

    async def login(self, email: str, password: str = PASSWORD, **more: Any) -> Any:
        answer = await self.try_login(email, password, **more)
        assert answer.status == 200, answer.text
        return answer.json()

    async def settle_in(self, email: str, password: str = PASSWORD) -> Any:
        """Register, confirm where that is needed, and sign in."""
        assert (await self.register(email, password)).status == 202
        if self.hub.hub.identity.must_verify:
            assert (await self.post("verify", {"token": await self.link(email)})).status == 200
        return await self.login(email, password)

    async def holds(self, token: str) -> bool:
        return (await self.ask("GET", "/api/auth/verify", token=token)).status == 200

    async def operator(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.hub.client("*", subject="operator").request(method, f"/api/admin/{path}", json=body)

    async def letters(self, to: str) -> list[Any]:
        await self.hub.hub.mail.settle()
        import luminai_carrier.plugin

        return [mail for mail in luminai_carrier.plugin.SENT if mail.to == to]

    async def link(self, to: str) -> str:
        """Return the token of the last letter with a link."""
        found = [match[1] for mail in await self.letters(to) if (match := re.search(r"#token=([\w-]+)", mail.text))]
        return found[-1]

    def code(self, secret: str, *, steps: int = 0) -> str:
        """Return what an authenticator app shows now, or some steps away."""
        return pyotp.TOTP(secret).at(self.clock.now(), counter_offset=steps)


def in_town(
    work: Callable[[Town], Awaitable[Any]],
    *,
    plugins: Any = None,
    also: Sequence[InstalledPlugin] = (),
    settings: Any = None,
    database_url: str = "",
    clock: FrozenClock | None = None,
) -> Any:
    """Run ``work(town)``; with ``plugins`` letters are carried; ``also`` run."""

    async def main() -> Any:
        time = clock or FrozenClock()
        installed = [*([plugins.make("carrier", CARRIER, raw_manifest=MANIFEST)] if plugins is not None else []), *also]
        given = {"installed": installed} if installed else {}
        names = [plugin.id for plugin in installed]
        async with running_hub(*names, settings=settings or OPEN, clock=time, database_url=database_url, **given) as hub:
            return await work(Town(hub, time))

    return asyncio.run(main())


async def second_factor(town: Town, signed_in: Any) -> tuple[str, list[str]]:
    """Turn the second factor on and return secret and recovery codes."""
    token = signed_in["access_token"]
    secret = (await town.post("totp/enrol", token=token)).json()["secret"]
    confirmed = await town.post("totp/confirm", {"code": town.code(secret)}, token=token)
    assert confirmed.status == 200, confirmed.text
    return secret, confirmed.json()["recovery_codes"]
