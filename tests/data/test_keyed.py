"""The row of an Idempotency-Key stands in the transaction of the effect: whoever comes second, from whatever process, has none."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict
from luminai.data.keyed import Keyed, current
from luminai.data.tables import idempotency
from luminai.testing import running_hub


def test_key_that_another_process_took__keeps_the_effect_out() -> None:
    async def main() -> tuple[list[str], str, list[bool], int]:
        done: list[str] = []
        first, second = Keyed("chat:http:1", "one", b"f"), Keyed("chat:http:1", "one", b"f")
        async with running_hub() as hub:
            write, read = hub.hub.database.write, hub.hub.database.read

            def effect(session: Session) -> None:
                done.append("effect")

            current.set(first)
            await write(effect)
            await write(effect)  # a second unit of the same request belongs to it
            current.set(second)
            with pytest.raises(Conflict) as refused:
                await write(effect)
            current.set(None)
            rows = await read(lambda session: len(session.execute(select(idempotency.c.key)).all()))
        return done, refused.value.code, [first.has_effect, second.has_effect], rows

    assert asyncio.run(main()) == (["effect", "effect"], "idempotency-in-flight", [True, False], 1)
