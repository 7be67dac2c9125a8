"""Everybody who may knock at a hub's doors: without a credential, with one that does not hold, and with one of each kind that does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from identity.lives import PASSWORD, Town
from msgspec import Struct
from sqlalchemy import insert, update

from luminai.contracts.identity import Actor, RoutePolicy
from luminai.data.tables_people import memberships, sessions
from luminai.host.discovery import installed_plugins
from luminai.host.permissions import all_routes
from luminai.host.scopes import known_scopes
from luminai.http.inprocess import Answer
from luminai.testing import FrozenClock, running_hub

SETTINGS = {"identity": {"registration": "open", "verify-email": "off"}}
PLUGINS = {
    "mail": {"host": "localhost", "from-address": "hub@example.org", "security": "none", "port": 9},
    "github": {"secrets": ["env:LUMINAI_SAMPLE"]},
    "chat": {"playground": True},
}
GATE = {401: {"not-signed-in", "bad-credential", "session-locked"}, 403: {"missing-scope", "step-up-required", "no-policy"}}
"""How the guard refuses; any other 401 or 403 is the handler's own."""


class Asker(Struct, frozen=True, kw_only=True):
    """Who asks. ``actor`` is what the hub should make of the credential: None for nobody; ``holds`` False: the credential is no good."""

    name: str
    credential: str = ""
    actor: Actor | None = None
    holds: bool = True

    def expected(self, policy: RoutePolicy) -> int:
        """Return how the guard should answer: 401, 403, or 0 when it lets the request through. Written anew from the policy's words."""
        if not self.holds:
            return 401
        if self.actor is None:
            return 0 if policy.anonymous else 401
        scopes, owner = self.actor.scopes, str(policy.scope).partition(":")[0]
        if policy.scope is not None and not scopes & {policy.scope, "*", f"{owner}:*"}:
            return 403
        return 403 if policy.step_up and self.actor.session and not self.actor.is_fresh else 0


class Place:
    """A hub with all plugins of this environment, its askers, and a way to ask."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.hub = town.hub.hub
        self.routes = all_routes(self.hub)
        self.scopes = sorted(known_scopes(self.hub.generation))
        self.askers: list[Asker] = []
        self.exact: dict[tuple[str, str], Asker] = {}
        self.without: dict[str, Asker] = {}

    async def key(self, *scopes: str, subject: str, expires: Any = None) -> tuple[Any, str]:
        return await self.hub.keys.create("matrix", scopes, subject=subject, expires_at=expires)

    async def person(self, name: str, role: str = "member") -> tuple[str, str]:
        """Return id and access token of a person who has just signed in."""
        found = await self.town.settle_in(f"{name}@example.org")
        person = (await self.hub.identity.access.actor_of(found["access_token"]))[0].subject
        if role != "member":
            answer = await self.town.operator("PUT", f"people/{person}/roles", {"roles": [role] if role else []})
            assert answer.status == 200, answer.text
            found = await self.town.login(f"{name}@example.org", PASSWORD)
        return person, found["access_token"]

    async def ask(self, asker: Asker, method: str, path: str, *, headers: Any = None, body: Any = None) -> Answer:
        sent = dict(headers or {}) | ({"authorization": f"Bearer {asker.credential}"} if asker.credential else {})
        json = {} if body is None and method in ("POST", "PUT", "PATCH") else body
        client = self.town.hub.client()
        async with client.stream(method, path, json=json, headers=sent) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.body = b"".join([chunk async for chunk in answer.chunks])
            return answer

    async def gather(self) -> None:
        """Make everybody."""
        now = self.town.clock.now()
        self.askers = [Asker(name="nobody"), Asker(name="malformed", credential="lum_nonsense", holds=False)]
        _, unknown = await self.key("*", subject="ann")
        self.askers.append(Asker(name="of another hub", credential=unknown[:-7] + "0000000", holds=False))
        _, expired = await self.key("*", subject="ann", expires=now + timedelta(seconds=1))
        self.town.clock.advance(2)
        self.askers.append(Asker(name="expired", credential=expired, holds=False))
        info, revoked = await self.key("*", subject="ann")
        await self.hub.keys.revoke(info.id)
        self.askers.append(Asker(name="revoked", credential=revoked, holds=False))
        _, every = await self.key("*", subject="operator")
        self.askers.append(Asker(name="operator", credential=every, actor=Actor("key", "operator", frozenset("*"))))
        for scope in self.scopes:
            rest = [one for one in self.scopes if one != scope]
            _, text = await self.key(*rest, subject="ann")
            self.without[scope] = Asker(name=f"all but {scope}", credential=text, actor=Actor("key", "ann", frozenset(rest)))
            for subject in ("ann", "bob"):
                _, text = await self.key(scope, subject=subject)
                self.exact[scope, subject] = Asker(name=f"{scope} of {subject}", credential=text, actor=Actor("key", subject, frozenset({scope})))
        await self._people()

    async def _people(self) -> None:
        member, bare, admin, stale = [await self.person(*who) for who in (("mary",), ("bare", ""), ("adam", "admin"), ("stan", "admin"))]
        invited, suspended = await self.person("ivan"), await self.person("sue", "admin")
        held = (await self.hub.identity.access.actor_of(member[1]))[0].scopes
        assert held
        assert not any(scope == "*" or scope.startswith("hub:") for scope in held)
        _, key = await self.key("*", subject=suspended[0])
        assert (await self.town.operator("POST", f"people/{suspended[0]}/suspend")).status == 200

        def unit(session: Any) -> None:
            row = {"person_id": invited[0], "organisation_id": "hub", "role": "admin", "status": "invited", "created_at": self.town.clock.now()}
            session.execute(insert(memberships).values(**row))
            mine = sessions.c.person_id == stale[0]
            session.execute(update(sessions).where(mine).values(authenticated_at=self.town.clock.now() - timedelta(minutes=11)))

        await self.hub.database.write(unit)
        self.hub.verifier.forget()

        within, of_member = await self._organisation_key()

        def of(name: str, person: tuple[str, str], scopes: Any, *, is_fresh: bool = True, holds: bool = True) -> Asker:
            actor = Actor("ses", person[0], frozenset(scopes), session="ses", is_fresh=is_fresh)
            return Asker(name=name, credential=person[1], actor=actor, holds=holds)

        self.askers += [
            of("member", member, held),
            of("person without roles", bare, ()),
            of("invited as admin, not confirmed", invited, held),
            Asker(name="key within an organisation", credential=of_member, actor=within),
            of("suspended admin", suspended, "*", holds=False),
            Asker(name="key of a suspended admin", credential=key, holds=False),
            of("admin", admin, "*"),
            of("admin of a while ago", stale, "*", is_fresh=False),
        ]

    async def _organisation_key(self) -> tuple[Actor, str]:
        """Return what an administrator's key may do that acts for an organisation, with the roles of a member there; and the key."""
        boss, _ = await self.person("olaf", "admin")
        made = await self.town.operator("POST", "organisations", {"name": "Blue", "owner": boss})
        assert made.status == 201, made.text
        place = made.json()["id"]
        given = await self.town.operator("PUT", f"organisations/{place}/members/{boss}/roles", {"roles": ["member", "owner"]})
        assert given.status == 200, given.text
        _, text = await self.hub.keys.create("matrix", ["*"], subject=boss, organisation=place)
        rights = await self.hub.identity.access.rights(boss, place)
        assert rights
        assert not any(scope == "*" or scope.startswith("hub:") for scope in rights)
        return Actor("key", boss, rights, organisation=place), text

    def everybody(self, policy: RoutePolicy) -> list[Asker]:
        """Return who is to ask at a route: all, and the keys with exactly its scope, and with every scope but this."""
        scope = policy.scope or self.scopes[0]
        return [*self.askers, self.exact[scope, "ann"], self.exact[scope, "bob"], self.without[scope]]


@asynccontextmanager
async def place(*more: Any, database_url: str = "") -> AsyncIterator[Place]:
    """Yield a hub with every plugin of this repository, and those of ``more``."""
    own = [plugin for plugin in installed_plugins() if plugin.distribution.startswith("luminai") and not plugin.id.startswith("engine-")]
    installed = [*own, *more]  # engines need a broker each, and have no routes
    names = [plugin.id for plugin in installed]
    clock = FrozenClock()
    async with running_hub(*names, config=PLUGINS, settings=SETTINGS, installed=installed, clock=clock, database_url=database_url) as hub:
        assert {status.id: status.reason for status in hub.hub.report.plugins if not status.running} == {}
        found = Place(Town(hub, clock))
        await found.gather()
        yield found


def run(work: Any, *more: Any, database_url: str = "") -> Any:
    """Run ``work(place)``."""

    async def main() -> Any:
        async with place(*more, database_url=database_url) as found:
            return await work(found)

    return asyncio.run(main())


async def converse(app: Any, path: str, *said: str, credential: str = "") -> tuple[Any, list[str]]:
    """Open a socket, say something and hear as many answers; return ``True`` and what was heard, or the code with which the hub shut the door."""
    headers = [(b"host", b"localhost"), *([(b"authorization", f"Bearer {credential}".encode())] if credential else [])]
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "query_string": b"",
    }
    scope |= {"raw_path": path.encode(), "root_path": "", "headers": headers, "client": ("127.0.0.1", 0), "server": ("localhost", 80)}
    scope |= {"subprotocols": [], "extensions": {}}
    waiting = [{"type": "websocket.receive", "text": one} for one in said]
    messages: list[Any] = [{"type": "websocket.connect"}, *waiting, {"type": "websocket.disconnect", "code": 1000}]
    told: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        told.append(message)

    await app(scope, receive, send)
    if told[0]["type"] != "websocket.accept":
        return told[0].get("code", told[0].get("status")), []
    return True, [one["text"] for one in told if one["type"] == "websocket.send"]
