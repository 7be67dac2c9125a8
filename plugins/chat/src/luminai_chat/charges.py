"""What a kept turn costs, where something meters: held with the question, grown in slices while the reply comes, ended with the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy.orm import Session

from luminai import EndState, Held, HubError, PluginContext, Work, WorkFailure
from luminai_chat.config import ChatConfig
from luminai_chat.turn import Outcome, Turn

ACTION: Final = "chat.turn"
SLICE: Final = 1000
"""Tokens of a reply that are held ahead."""
SPARE_SECONDS: Final = 60.0
"""How much longer than its turn a hold stands."""
SIGNS_A_TOKEN: Final = 4


class Charges:
    """Holds, grows and ends what turns cost."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._lease = self._config.total_seconds + SPARE_SECONDS

    def hold(self, session: Session, turn: Turn, characters: int) -> Held | None:
        """Hold what the turn may cost at first, in the unit that stores it; ``characters`` were said before. Raises as ``Metering.hold``."""
        if not self._ctx.metering.is_on:
            return None
        signs = min(characters, self._config.history_characters) + len(turn.ask.message)
        quantities = {"input_tokens": signs // SIGNS_A_TOKEN + 1, "output_tokens": SLICE}
        work = Work(action=ACTION, key=turn.id, subject=turn.subject, model=turn.full_model, quantities=quantities, lease=self._lease)
        return self._ctx.metering.hold(session, work)

    async def grow(self, turn: Turn, characters: int) -> bool:
        """See that a reply of so many characters is held for; False when it must end here."""
        held, tokens = turn.held, characters // SIGNS_A_TOKEN
        if held is None or "output_tokens" not in held.grows_by or tokens < turn.covered_tokens:
            return True
        covered = (tokens // SLICE + 1) * SLICE
        quantities: Mapping[str, int] = {"output_tokens": covered}
        try:
            db = self._ctx.db.as_subject(turn.subject)
            await db.write(lambda session: self._ctx.metering.extend(session, held, quantities, lease=self._lease), isolation="read-committed")
        except HubError as refused:
            if refused.status >= 500:
                raise
            return False
        turn.covered_tokens = covered
        return True

    def end(self, session: Session, turn: Turn, outcome: Outcome) -> None:
        """Settle or release, in the unit that stores the reply."""
        if turn.held is None or outcome.usage is None:
            return
        failure = _failure(outcome)
        if failure is None:
            used = {"input_tokens": outcome.usage.input_tokens, "output_tokens": outcome.usage.output_tokens}
            self._ctx.metering.settle(session, turn.held, used)
        else:
            self._ctx.metering.release(session, turn.held, failure)

    def drop(self, session: Session, turn: Turn, failure: WorkFailure) -> None:
        """Release the hold of a turn of which nothing is stored."""
        if turn.held is not None:
            self._ctx.metering.release(session, turn.held, failure)


def _failure(outcome: Outcome) -> WorkFailure | None:
    """Return why a turn gave nothing that is to be paid for, None when it did. What a person cut off after it had begun was given."""
    if outcome.is_interrupted:  # the hub ended it: what people have is theirs, and paid for
        return None if outcome.text else WorkFailure.CRASHED
    if outcome.end in (EndState.FILTERED, EndState.CANCELLED):
        free = WorkFailure.REFUSED if outcome.end is EndState.FILTERED else WorkFailure.ABORTED
        return None if outcome.text else free
    return {EndState.STALLED: WorkFailure.TIMEOUT, EndState.CUT: WorkFailure.PROVIDER, EndState.FAILED: WorkFailure.PROVIDER}.get(outcome.end)
