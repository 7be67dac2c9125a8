"""Hands deliveries from the inbox to the plugins of the serving generation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from luminai.contracts.context import Clock
from luminai.contracts.errors import HubError
from luminai.contracts.runtime import Webhook
from luminai.host.calls import call_within
from luminai.host.webhook_inbox import Inbox, Key, Lease
from luminai.http.table import PrefixTable

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.loading import Loaded

_log = logging.getLogger("luminai.webhooks")
AT_ONCE: Final = 4
"""Deliveries of one plugin that are handled at the same time in this process, so that a slow plugin holds up only itself."""
POLL_SECONDS: Final = 5.0
"""Longest pause while a webhook is served: another process may have died over its deliveries."""
SWEEP_SECONDS: Final = 3600.0


class WebhookWorker:
    """One in a process.

    Args:
        generation: Returns the serving generation.
        is_alone: No other process uses the database, so a lease that is found at the start belongs to nobody.
    """

    def __init__(self, inbox: Inbox, clock: Clock, generation: Callable[[], Generation], *, is_alone: bool) -> None:
        self.inbox = inbox
        self._clock = clock
        self._generation = generation
        self._is_alone = is_alone
        self._woken = asyncio.Event()
        self._turning = asyncio.Lock()
        self._tasks: set[asyncio.Future[None]] = set()
        self._busy: Counter[str] = Counter()
        self._swept: float | None = None

    def wake(self) -> None:
        """Look at the inbox now: something came in, or another generation serves."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._woken.clear()
            pause: float | None = POLL_SECONDS
            try:
                pause = await self._turn()
            except Exception:  # noqa: BLE001 - one bad turn must not end the work
                _log.exception("webhooks.turn.failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def settle(self) -> None:
        """Hand out what is due now, and wait until nothing that is due is left."""
        await self._turn()
        while self._tasks:
            await asyncio.wait(self._tasks)
            await self._turn()

    async def _turn(self) -> float | None:
        """Hand out what is due, as far as there is room; return the seconds until there is more to do, None while no webhook is served."""
        async with self._turning:
            served = self._served()
            if not served:
                return None
            if self._is_alone:
                await self.inbox.forget_leases()
                self._is_alone = False
            await self._sweep()
            now, pause = self._clock.now(), POLL_SECONDS
            for key, at in (await self.inbox.due(list(served))).items():
                room = AT_ONCE - self._busy[key[0]]
                if at > now:
                    pause = min(pause, (at - now).total_seconds())
                elif room > 0:
                    for lease in await self.inbox.claim(key, most=room, seconds=served[key][1].timeout):
                        await self._hand_out(lease)
            return pause

    def _served(self) -> dict[Key, tuple[Loaded, Webhook]]:
        plugins = self._generation().plugins
        return {(loaded.id, one.name): (loaded, one) for loaded in plugins for one in loaded.contributions.get("webhooks", ())}

    async def _sweep(self) -> None:
        now = self._clock.monotonic()
        if self._swept is None or now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            await self.inbox.sweep()

    async def _hand_out(self, lease: Lease) -> None:
        """Begin to handle a delivery with whoever serves it now: the plugin may have been replaced while it was claimed."""
        loaded, webhook = self._served().get(lease.key, (None, None))
        if loaded is None or webhook is None or loaded.context is None:
            await self.inbox.give_back(lease)
            return
        table = self._generation().table
        table.inflight += 1  # a swap or stop waits for it as for a request
        self._busy[loaded.id] += 1
        task = asyncio.ensure_future(loaded.context.spawn(self._handle(webhook, lease), name=f"webhook {webhook.name}".strip()))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end(done, loaded.id, table))

    def _end(self, task: asyncio.Future[None], plugin: str, table: PrefixTable) -> None:
        self._tasks.discard(task)
        self._busy[plugin] -= 1
        table.leave()
        self.wake()

    async def _handle(self, webhook: Webhook, lease: Lease) -> None:
        plugin = lease.key[0]
        try:
            event = msgspec.json.decode(await self.inbox.content(lease), type=webhook.event)
            await call_within(webhook.timeout, webhook.receive(event, lease))
        except asyncio.CancelledError:
            await self.inbox.give_back(lease)
            raise
        except Exception as error:  # noqa: BLE001 - plugin code may raise anything
            # only the hub's own errors are written for people to read; the text of another may hold anything
            said = f"{error.code}: {error.detail}" if isinstance(error, HubError) else type(error).__name__
            state = await self.inbox.failed(lease, said, wait=error.retry_after if isinstance(error, HubError) else None)
            _log.error(
                "webhook.receive.failed",
                exc_info=error if not isinstance(error, HubError) else None,
                extra={"plugin": plugin, "webhook": webhook.name, "delivery": lease.row_id, "attempt": lease.attempt, "state": state, "reason": said},
            )
        else:
            await self.inbox.done(lease)
