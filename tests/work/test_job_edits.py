"""A dead job that gets another input: it counts as what it has become."""

import asyncio
from typing import Any

from luminai.testing import running_hub

PLUGIN = """
    from luminai import Action, Forbidden, hookimpl
    from msgspec import Struct

    class Given(Struct, forbid_unknown_fields=True):
        account: str

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                if given.account == "typo":
                    raise Forbidden("No such account.", code="books.no-account")
                return given
            key = lambda given: given.account
            return [Action(name="sum", summary="Sum up.", run=run, scope="books:run", input=Given, output=Given, concurrency="queue", key=key)]
"""


def test_edited_job__takes_its_place_under_the_key_of_its_new_input(plugins: Any) -> None:
    made = plugins.make("books", PLUGIN, provides='["actions"]', manifest='scopes = { "books:run" = "Run." }')

    async def main() -> None:
        async with running_hub("books", installed=[made]) as hub:
            client = hub.client("books:run", "hub:jobs", subject="usr_a")

            async def send(path: str, body: object, *, wait: int = 0) -> Any:
                return await client.request("POST", path, json=body, headers={"prefer": f"wait={wait}"})

            dead = (await send("/api/actions/books.sum", {"account": "typo"}, wait=20)).json()
            assert (dead["state"], dead["error_code"]) == ("dead", "books.no-account")
            await send("/api/admin/job-pauses", {"target": "books"})
            held = (await send("/api/actions/books.sum", {"account": "right"})).json()["id"]
            edit = f"/api/admin/jobs/{dead['id']}/edit"
            busy = await send(edit, {"account": "right"})
            assert (busy.status, busy.json()["code"]) == (409, "job-key-busy"), "another of the key that it would have waits"
            await client.request("POST", f"/api/jobs/{held}/cancel")
            assert (await send(edit, {"account": "right"})).json()["state"] == "queued"
            behind = (await send("/api/actions/books.sum", {"account": "right"})).json()
            beside = (await send("/api/actions/books.sum", {"account": "typo"})).json()
            assert (behind["state"], beside["state"]) == ("waiting", "queued"), "it holds its new key, and no longer its old one"

    asyncio.run(main())
