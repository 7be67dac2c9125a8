"""Jobs on credits: admitted with their hold, extended while they run, and every way that one can end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from paid_work import Person, Shop, open_shop

STUDIO = """
    import asyncio
    from typing import Any
    from litestar import Request, post
    from litestar.params import JSONBody
    from msgspec import Struct
    from luminai import Action, Held, PaymentRequired, Unavailable, Work, WorkFailure, hookimpl, policy, signed_in

    class Film(Struct):
        key: str
        way: str = "well"

    class Filmed(Struct):
        seconds: int

    BEGUN = asyncio.Event()

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                held, made = Held(given.key, job.actor.subject), 0

                async def release(failure):
                    await ctx.db.write(lambda session: ctx.metering.release(session, held, failure))

                try:
                    for made in (1000, 2000, 3000):
                        await ctx.db.write(lambda session: ctx.metering.extend(session, held, {"output_tokens": made}))
                        if made == 2000 and given.way == "waits":
                            BEGUN.set()
                            await asyncio.Event().wait()
                        if made == 2000 and (given.way == "fails" or given.way == "falters" and job.attempt == 1):
                            raise Unavailable("The camera jams.")
                except PaymentRequired:
                    made -= 1000
                except Unavailable:
                    if job.attempt == 2:
                        await release(WorkFailure.PROVIDER)
                    raise
                except asyncio.CancelledError:
                    await release(WorkFailure.ABORTED)
                    raise

                def unit(session):
                    ctx.metering.settle(session, held, {"output_tokens": made})
                    job.finish(session, Filmed(made))

                await ctx.db.write(unit)

            more = {"scope": "studio:work", "input": Film, "output": Filmed}
            return [Action(name="film", summary="Film.", run=run, retries=1, backoff=60, **more)]

        @hookimpl
        def routes(self, ctx):
            @post("/api/studio/films", opt=policy("studio:work"), status_code=202)
            async def film(request: Request[Any, Any, Any], data: JSONBody[Film]) -> dict[str, str]:
                subject = signed_in(request).subject

                def admit(session):
                    ctx.metering.hold(session, Work(action="studio.write", key=data.key, subject=subject, quantities={"output_tokens": 1000}))
                    return ctx.actions.put(session, "studio.film", {"key": data.key, "way": data.way})

                return {"job": await ctx.db.write(admit)}

            @post("/api/studio/begun", opt=policy("studio:work"), status_code=204)
            async def begun() -> None:
                await BEGUN.wait()
                BEGUN.clear()

            return [film, begun]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with credits, and a plugin whose paid work is jobs of 3 credits."""
    with open_shop(tmp_path_factory.mktemp("films"), studio=STUDIO, provides='["routes", "actions"]') as opened:
        yield opened
        assert opened.ask("POST", "/api/ledger/verify")["count"] == 0


@pytest.fixture
def ann(shop: Shop) -> Person:
    """Return somebody with 10 credits."""
    person = shop.person()
    person.give(10)
    return person


def film(person: Person, way: str = "well", *, expect: int = 202) -> Any:
    return person.ask("POST", "/api/studio/films", expect=expect, json={"key": f"{person.subject}:film", "way": way})


def job_of(shop: Shop, asked: Any) -> str:
    state: str = shop.ask("GET", f"/api/jobs/{asked['job']}")["state"]
    return state


def test_job__that_ends_well__is_held_for_in_slices_and_charged_for_all_of_them_once(shop: Shop, ann: Person) -> None:
    asked = film(ann)
    assert ann.has == (9, 1)
    shop.settle_jobs()

    assert (job_of(shop, asked), ann.states(), ann.has) == ("succeeded", [("settled", 3)], (7, 0))


def test_job__that_is_tried_again__goes_on_with_its_hold_and_is_charged_once(shop: Shop, ann: Person) -> None:
    asked = film(ann, "falters")
    shop.settle_jobs()
    assert ann.has == (8, 2)

    shop.skip(seconds=120)
    shop.settle_jobs()

    assert (job_of(shop, asked), ann.states(), ann.has) == ("succeeded", [("settled", 3)], (7, 0))


def test_job__that_fails_for_good__is_free(shop: Shop, ann: Person) -> None:
    asked = film(ann, "fails")
    for _ in range(2):
        shop.settle_jobs()
        shop.skip(seconds=120)
    shop.settle_jobs()

    assert (job_of(shop, asked), ann.states(), ann.has) == ("dead", [("released", 0)], (10, 0))
    assert ann.usage[0]["failure"] == "provider"


def test_job__cancelled_while_it_runs__is_ended_by_its_plugin(shop: Shop, ann: Person) -> None:
    asked = film(ann, "waits")

    async def cancel() -> None:
        settled = asyncio.ensure_future(shop.hub.hub.jobs.settle())
        async with asyncio.timeout(30):
            assert (await ann.client.request("POST", "/api/studio/begun")).status == 204
        assert (await shop.operator.request("POST", f"/api/jobs/{asked['job']}/cancel")).status == 200
        await settled

    shop.run(cancel())

    assert (job_of(shop, asked), ann.states(), ann.has) == ("cancelled", [("released", 0)], (10, 0))
    assert ann.usage[0]["failure"] == "aborted"


def test_job__cancelled_before_it_ran__gives_back_when_its_lease_is_over(shop: Shop, ann: Person) -> None:
    asked = film(ann, "fails")
    shop.settle_jobs()
    assert shop.ask("POST", f"/api/jobs/{asked['job']}/cancel")["state"] == "cancelled"
    assert ann.has == (8, 2)

    shop.skip(seconds=301)
    shop.upkeep()

    assert (ann.states(), ann.has) == ([("released", 0)], (10, 0))
    assert ann.usage[0]["failure"] == "lost"


def test_job__for_which_there_is_not_enough__is_not_put(shop: Shop) -> None:
    bob = shop.person()
    before = shop.ask("GET", "/api/admin/jobs?action=studio.film&limit=100")["items"]

    assert film(bob, expect=402)["code"] == "credits.short"

    assert shop.ask("GET", "/api/admin/jobs?action=studio.film&limit=100")["items"] == before
    assert bob.usage == []


def test_job__that_grows_beyond_what_is_there__ends_with_what_it_has(shop: Shop) -> None:
    bob = shop.person()
    bob.give(2)
    asked = film(bob)
    shop.settle_jobs()

    assert (job_of(shop, asked), bob.states(), bob.has) == ("succeeded", [("settled", 2)], (0, 0))
