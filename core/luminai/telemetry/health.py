"""Health checks, each asked at most once an interval, however many probes come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.contracts.runtime import Health, HealthCheck, HealthState

_log = logging.getLogger("luminai.health")
RANK: Final = {HealthState.OK: 0, HealthState.UNKNOWN: 1, HealthState.DEGRADED: 2, HealthState.FAILING: 3}


class CheckResult(Struct, frozen=True):
    """The last answer of one check."""

    plugin: str
    name: str
    state: HealthState
    reason: str = ""


class HealthBoard:
    """Answers of all checks of a generation.

    Args:
        before: The board of the generation before; its answers hold for all plugins but the ``fresh`` ones.
    """

    def __init__(
        self, checks: Iterable[tuple[str, HealthCheck]], clock: Clock, before: HealthBoard | None = None, fresh: frozenset[str] = frozenset()
    ) -> None:
        self._checks = list(checks)
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[float, CheckResult]] = {}
        if before is not None:
            self._answers = {key: answer for key, answer in before._answers.items() if key[0] not in fresh}  # noqa: SLF001 - of its own kind
        self._lock = asyncio.Lock()

    async def results(self) -> list[CheckResult]:
        """Return every check's answer, asking those that are due at the same time."""
        async with self._lock:
            return list(await asyncio.gather(*(self._ask(plugin, check) for plugin, check in self._checks)))

    def known(self) -> list[CheckResult]:
        """Return the last answer of each check that was asked yet, without asking."""
        return [result for _, result in self._answers.values()]

    async def _ask(self, plugin: str, check: HealthCheck) -> CheckResult:
        now = self._clock.monotonic()
        known = self._answers.get((plugin, check.name))
        if known is not None and now - known[0] < check.interval:
            return known[1]
        try:
            async with asyncio.timeout(check.timeout):
                health = await check.check()
        except TimeoutError:
            health = Health(HealthState.FAILING, f"did not answer within {check.timeout:g} s")
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - plugin code may raise anything, SystemExit too
            _log.exception("health.check.failed", extra={"plugin": plugin, "check": check.name})
            health = Health(HealthState.FAILING, type(error).__name__)
        result = CheckResult(plugin, check.name, health.state, health.reason)
        self._answers[plugin, check.name] = (now, result)
        return result


def worst(results: Iterable[CheckResult]) -> HealthState:
    """Return the worst state, ``ok`` when nothing was checked."""
    return max((result.state for result in results), key=RANK.__getitem__, default=HealthState.OK)
