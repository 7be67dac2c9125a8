"""Reading a kept turn's log from the database: after it ended, and from a process that does not run it, which looks every half second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy.orm import Session

from luminai import NotFound, PluginContext
from luminai_chat import turn_rows
from luminai_chat.turn_log import HEARTBEAT, Batch, LogEvent

LOOK_SECONDS: Final = 0.5


class KeptLog:
    """Implements ``Log`` for a turn that this process does not run."""

    def __init__(self, ctx: PluginContext, subject: str, turn_id: str) -> None:
        self._ctx = ctx
        self._subject = subject
        self._turn_id = turn_id

    async def follow(self, after: int = 0, *, heartbeat: float = HEARTBEAT) -> AsyncIterator[Batch]:
        """Yield what lies behind event ``after``, and what is kept of it as it comes, to the log's end."""
        position, silent = after, 0.0
        while True:
            found, is_running = await self._look(position)
            if found:
                position, silent = found[-1].id, 0.0
                yield found
            elif not is_running:
                return
            else:
                await asyncio.sleep(LOOK_SECONDS)
                silent += LOOK_SECONDS
                if silent >= heartbeat:
                    silent = 0.0
                    yield ()

    async def is_swept(self) -> bool:
        """Tell whether the turn ended so long ago that its log is not there any more."""
        found, is_running = await self._look(0)
        return not found and not is_running

    async def _look(self, after: int) -> tuple[list[LogEvent], bool]:
        def unit(session: Session) -> tuple[list[LogEvent], bool]:
            try:
                row = turn_rows.find_turn(session, self._subject, self._turn_id)
            except NotFound:  # deleted with its session
                return [], False
            return turn_rows.events_behind(session, self._ctx.vault, self._turn_id, self._subject, after), not row.end_state

        return await self._ctx.db.as_subject(self._subject).read(unit)
