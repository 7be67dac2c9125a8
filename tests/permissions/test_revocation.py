"""What is taken away is gone within 5 seconds on every hub of the same database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from identity.lives import OPEN, Town

from luminai.testing import FrozenClock, running_hub

pytestmark = pytest.mark.postgres
SECONDS = 5.0
PROFILE = "/api/users/profile"


async def key_of(town: Town, *scopes: str, subject: str) -> tuple[str, str]:
    info, text = await town.hub.hub.keys.create("key", scopes, subject=subject)
    return info.id, text


async def person(town: Town, role: str) -> tuple[str, str]:
    """Return id and access token of somebody who holds ``role``."""
    tokens = await town.settle_in(f"{role}@example.org")
    actor, _ = await town.hub.hub.identity.access.actor_of(tokens["access_token"])
    assert (await town.operator("PUT", f"people/{actor.subject}/roles", {"roles": [role]})).status == 200
    return actor.subject, (await town.login(f"{role}@example.org"))["access_token"]


async def revoke_key(town: Town) -> tuple[str, str, Any]:
    key, text = await key_of(town, "hub:plugins", subject="operator")
    return text, "/api/admin/plugins", lambda: town.hub.client("*").request("DELETE", f"/api/keys/{key}")


async def end_session(town: Town) -> tuple[str, str, Any]:
    _, token = await person(town, "member")
    return token, PROFILE, lambda: town.post("logout", token=token)


async def suspend(town: Town) -> tuple[str, str, Any]:
    subject, token = await person(town, "admin")
    return token, "/api/admin/people", lambda: town.operator("POST", f"people/{subject}/suspend")


async def suspend_owner_of_key(town: Town) -> tuple[str, str, Any]:
    subject, _ = await person(town, "admin")
    _, text = await key_of(town, "*", subject=subject)
    return text, "/api/admin/people", lambda: town.operator("POST", f"people/{subject}/suspend")


async def take_role(town: Town) -> tuple[str, str, Any]:
    subject, token = await person(town, "admin")
    return token, "/api/admin/people", lambda: town.operator("PUT", f"people/{subject}/roles", {"roles": ["member"]})


async def narrow_role(town: Town) -> tuple[str, str, Any]:
    body = {"title": "Looks at people", "scopes": ["hub:people"]}
    assert (await town.operator("PUT", "roles/looker", body)).status == 200
    _, token = await person(town, "looker")
    return token, "/api/admin/people", lambda: town.operator("PUT", "roles/looker", body | {"scopes": ["hub:audit"]})


async def end_membership_of_key(town: Town) -> tuple[str, str, Any]:
    """Let a second member leave whose key acts for the organisation."""
    boss, _ = await person(town, "admin")
    other = await town.settle_in("other@example.org")
    actor, _ = await town.hub.hub.identity.access.actor_of(other["access_token"])
    made = (await town.operator("POST", "organisations", {"name": "Blue", "owner": boss})).json()["id"]
    assert (await town.operator("PUT", f"organisations/{made}/members/{actor.subject}/roles", {"roles": ["owner"]})).status == 200
    _, text = await town.hub.hub.keys.create("key", ["*"], subject=actor.subject, organisation=made)
    return text, "/api/auth/verify", lambda: town.operator("DELETE", f"organisations/{made}/members/{actor.subject}")


@pytest.mark.parametrize("take_away", [revoke_key, end_session, suspend, suspend_owner_of_key, take_role, narrow_role, end_membership_of_key])
def test_taken_away__on_one_hub__is_refused_on_another_within_5_s(take_away: Any, own_postgres_url: str, tmp_path: Path) -> None:
    async def main() -> tuple[list[int], list[int], list[int]]:
        clock = FrozenClock()
        hubs = [running_hub(settings=OPEN, clock=clock, database_url=own_postgres_url, folder=tmp_path) for _ in range(2)]  # of one master key
        async with hubs[0] as first, hubs[1] as second:
            town, other = Town(first, clock), Town(second, clock)
            credential, path, take = await take_away(town)

            async def asked() -> list[int]:
                return [(await place.ask("GET", path, token=credential)).status for place in (town, other)]

            clock.advance(1)
            before = await asked()
            assert (await take()).status in (200, 204)
            at_once = await asked()
            clock.advance(SECONDS)
            return before, at_once, await asked()

    before, at_once, after = asyncio.run(main())

    assert before == [200, 200]
    assert at_once[0] in (401, 403)
    assert after[0] == after[1] == at_once[0]
