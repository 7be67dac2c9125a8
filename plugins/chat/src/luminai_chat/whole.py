"""A turn's reply in one piece."""

from __future__ import annotations

import msgspec

from luminai import Problem
from luminai_chat.schemas import ChatAnswer
from luminai_chat.turn_log import Log, LogEvent


async def whole(log: Log) -> ChatAnswer:
    """Wait for a turn's end.

    Raises:
        TurnFailed: it ended with a problem.
    """
    last: LogEvent | None = None
    async for batch in log.follow():
        last = batch[-1] if batch else last
    if last is None or last.kind != "end":
        raise TurnFailed(msgspec.json.decode(last.data, type=Problem) if last is not None and last.kind == "problem" else None)
    return msgspec.json.decode(last.data, type=ChatAnswer)


class TurnFailed(Exception):
    """A turn ended with ``problem``."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__(problem.detail if problem else "the turn failed")
        self.problem = problem or Problem(title="Internal error", status=500, code="internal", detail="The turn failed.")
