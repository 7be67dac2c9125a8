"""A body that does not fit is refused with all that is wrong with it, and nothing of it is said again."""

import asyncio
from typing import Any

from luminai.testing import HubUnderTest, running_hub

SCHEDULE = {"name": "", "action": "does.say", "trigger": "every: 1h", "misfire": "never", "grace": -1, "input": [], "more": 1, "most": 2}


async def refused(hub: HubUnderTest, path: str, body: Any) -> dict[str, list[str]]:
    """Return the problems of a body by where they are."""
    answer = await hub.client("*", subject=f"usr_{'a' * 32}").request("POST", path, json=body)
    assert (answer.status, answer.json()["code"]) == (400, "invalid-input"), answer.body
    found: dict[str, list[str]] = {}
    for one in answer.json()["errors"]:
        found.setdefault(one["pointer"], []).append(one["detail"])
    return found


def test_body__with_many_problems__is_refused_with_all_of_them() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            found = await refused(hub, "/api/schedules", SCHEDULE)
            assert set(found) == {"body", "body/name", "body/misfire", "body/grace", "body/input"}
            assert found["body"] == ["Object contains unknown field `more`", "Object contains unknown field `most`"]
            assert len(found["body/name"]) == 1, "the decoder's word is not said twice"
            missing = await refused(hub, "/api/schedules", {"grace": "x"})
            assert {f"Object missing required field `{name}`" for name in ("name", "action", "trigger")} <= set(missing["body"])
            assert len(missing["body"]) == len(set(missing["body"]))
            assert (await hub.client("*").request("GET", "/api/admin/schedules")).json()["items"] == []

    asyncio.run(main())


def test_body__that_is_refused__is_not_said_again() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            said = await refused(hub, "/api/auth/register", {"email": "x" * 400, "password": {"hunter2": 7}, "invitation": 7})
            assert len(said) > 1
            assert not any(word in str(said) for word in ("hunter2", "xxx", "7"))

    asyncio.run(main())


def test_body__that_is_large__is_refused_with_the_first_problem_alone() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            large = SCHEDULE | {"input": {f"more{number}": "y" * 100 for number in range(100)}}
            assert sum(map(len, (await refused(hub, "/api/schedules", large)).values())) == 1

    asyncio.run(main())
