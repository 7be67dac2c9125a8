"""One timer for many deadlines: each call is cut off at its own, and somebody else's cancellation stays a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from luminai.host.deadlines import Deadlines

LONG, SHORT = 3600.0, 0.01


async def never() -> None:
    await asyncio.Event().wait()


def test_deadlines__a_shorter_one_behind_a_longer__is_kept_and_the_longer_goes_on() -> None:
    async def main() -> None:
        deadlines, release = Deadlines(), asyncio.Event()

        async def call(seconds: float, work: Any) -> str:
            try:
                with deadlines.within(seconds):
                    await work
            except TimeoutError:
                return "late"
            return "done"

        patient = asyncio.create_task(call(LONG, release.wait()))
        await asyncio.sleep(0)
        assert await asyncio.gather(*(call(SHORT * n, never()) for n in (3, 1, 2))) == ["late"] * 3
        release.set()
        assert await patient == "done"
        assert not deadlines.running

    asyncio.run(main())


def test_deadline__cancelled_from_outside__is_no_time_out() -> None:
    async def main() -> None:
        deadlines = Deadlines()

        async def call() -> None:
            with deadlines.within(LONG):
                await never()

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not deadlines.running

    asyncio.run(main())


def test_deadline__passes_while_somebody_cancels__the_cancellation_wins() -> None:
    async def main() -> None:
        deadlines = Deadlines()

        async def call() -> None:
            with deadlines.within(LONG) as deadline:
                asyncio.get_running_loop().call_soon(deadline.expire)
                asyncio.get_running_loop().call_soon(task.cancel)
                await never()

        task = asyncio.create_task(call())
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_deadlines__one_inside_another__each_ends_its_own_block() -> None:
    async def main() -> list[str]:
        deadlines, said = Deadlines(), []
        with deadlines.within(LONG):
            try:
                with deadlines.within(SHORT):
                    await never()
            except TimeoutError:
                said.append("inner")
            await asyncio.sleep(0)
            said.append("outer goes on")
        return said

    assert asyncio.run(main()) == ["inner", "outer goes on"]


def test_deadline__whose_code_takes_the_cancellation__says_that_it_was_late() -> None:
    async def main() -> bool:
        with Deadlines().within(SHORT) as deadline, suppress(asyncio.CancelledError):
            await never()
        await asyncio.sleep(0)  # nothing of it is left: the task can wait again
        return deadline.late

    assert asyncio.run(main())


def test_deadlines__used_in_two_loops__are_kept_in_both() -> None:
    deadlines = Deadlines()

    async def leaves_a_timer() -> None:
        with deadlines.within(SHORT):
            pass

    async def is_late() -> None:
        async with asyncio.timeout(10):
            with pytest.raises(TimeoutError), deadlines.within(SHORT):
                await never()

    asyncio.run(leaves_a_timer())
    asyncio.run(is_late())


def test_deadline__entered_for_step_after_step__counts_each_by_its_own_moment() -> None:
    async def main() -> None:
        deadlines, loop = Deadlines(), asyncio.get_running_loop()
        step = deadlines.until(loop.time() + SHORT)
        with step:
            await asyncio.sleep(0)
        step.when = loop.time() + LONG
        with step, deadlines.within(LONG), pytest.raises(TimeoutError), deadlines.within(2 * SHORT):
            await never()  # past what the first step had
        assert not step.late
        step.when = loop.time() + SHORT
        with pytest.raises(TimeoutError), step:
            await never()
        assert step.late
        assert not deadlines.running

    asyncio.run(main())
