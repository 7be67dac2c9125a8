"""Whether the database answers, and how quickly."""

from __future__ import annotations

import time

from sqlalchemy import text

from luminai.contracts.errors import HubError
from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.data.database import HubDatabase


def database_check(database: HubDatabase) -> HealthCheck:
    """Return the check that asks the database something small: degraded when it takes as long as counts as slow, failing without an answer."""

    async def check() -> Health:
        began = time.perf_counter()
        try:
            await database.read(lambda session: session.execute(text("SELECT 1")).scalar(), timeout=1.5)
        except HubError as error:
            return Health(HealthState.FAILING, error.detail)
        took = time.perf_counter() - began
        if took >= database.slow:
            return Health(HealthState.DEGRADED, f"The smallest question took {took * 1000:.0f} ms.")
        return Health(HealthState.OK)

    return HealthCheck(name="database", check=check)
