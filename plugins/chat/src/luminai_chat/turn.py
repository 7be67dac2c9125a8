"""One turn, from the question to the closed log. It runs as a task of the hub, not of the request that asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from luminai import (
    Actor,
    AIError,
    AIErrorKind,
    AIProvider,
    EndState,
    Held,
    HubError,
    Model,
    PastMessage,
    Persona,
    PluginContext,
    Problem,
    RateLimited,
    Source,
    TurnEvidence,
    Upstream,
    Usage,
    WorkFailure,
)
from luminai_chat.answer import answer_of, opening_of
from luminai_chat.schemas import ChatAsk
from luminai_chat.store import Said
from luminai_chat.turn_log import LogEvent, TurnLog
from luminai_resonance import Evaluation, Resonance, all_frequencies

if TYPE_CHECKING:
    from luminai_chat.generation import Generation
    from luminai_chat.keeper import Keeper
    from luminai_chat.turn_store import TurnStore


class Turn(Struct, kw_only=True, eq=False):
    """Everything that one turn is about. ``session_id`` None and no ``subject``: the playground, nothing is saved.

    Attributes:
        parent_id: The message that the reply follows: the question, or the reply that is continued.
        history: What was said before the question.
        prefix: The reply that is continued, "" for a new one.
        provider: Who answers; None for a turn that is only closed, whose process was lost.
        ends_as: What becomes of it when its task is cancelled, with the reason in ``why``.
        is_interrupted: The hub, not its provider or person, ended it.
    """

    id: str
    ask: ChatAsk
    subject: str
    persona: Persona
    full_model: str
    log: TurnLog
    actor: Actor | None = None
    provider: AIProvider | None = None
    model: Model | None = None
    session_id: str | None = None
    parent_id: str | None = None
    history: Sequence[Said] = ()
    prefix: str = ""
    is_continuation: bool = False
    previous_sessions: int | None = None
    active_frequencies: tuple[str, ...] | None = None
    held: Held | None = None
    covered_tokens: int = 0
    ends_as: EndState = EndState.CANCELLED
    why: str = "cancelled"
    is_interrupted: bool = False
    task: Any = None

    def end(self, state: EndState, why: str, *, is_interrupted: bool = False) -> None:
        """End it; what was generated is kept."""
        if self.task is not None and not self.task.done() and self.ends_as is EndState.CANCELLED and not self.is_interrupted:
            self.ends_as, self.why, self.is_interrupted = state, why, is_interrupted
            self.task.cancel()


class Outcome(Struct, kw_only=True):
    """What came out of the provider. ``text`` is made of ``pieces`` when all of them are there."""

    text: str = ""
    pieces: list[str] = []
    characters: int = 0
    sources: list[Source] = []
    end: EndState = EndState.CUT
    usage: Usage | None = None
    covered: bool = True
    first_content: float | None = None
    reason: str = ""
    trace: Any = None
    is_interrupted: bool = False


class Runner:
    """Runs turns to their end, whatever that is; the log's last event tells it."""

    def __init__(self, ctx: PluginContext, resonance: Resonance, generation: Generation, store: TurnStore, keeper: Keeper) -> None:
        self._ctx = ctx
        self._resonance = resonance
        self._generation = generation
        self._store = store
        self._keeper = keeper

    async def run(self, turn: Turn) -> None:
        """Take a turn to its end."""
        began = time.perf_counter()
        turn.log.add("turn", opening_of(turn))
        outcome, failure, problem = Outcome(), WorkFailure.CRASHED, None
        if turn.session_id is not None:
            self._keeper.join(turn)
        try:
            await self._generation.run(turn, outcome, began)
        except asyncio.CancelledError:
            outcome.end, outcome.reason, outcome.is_interrupted = turn.ends_as, turn.why, turn.is_interrupted
        except Exception as error:  # noqa: BLE001 - a provider may raise anything
            failure, problem = self._judge(turn, error)
        outcome.text = "".join(outcome.pieces)
        if problem is not None and outcome.text:  # what people have read is kept
            outcome.end, outcome.reason, problem = EndState.FAILED, problem.detail, None
        await asyncio.shield(self._end(turn, outcome, failure, problem, began))

    async def close_lost(self, turn: Turn, outcome: Outcome) -> None:
        """Store what is left of a turn whose process is gone."""
        turn.log.close(await self._finish(turn, outcome, time.perf_counter()))

    async def _end(self, turn: Turn, outcome: Outcome, failure: WorkFailure, problem: Problem | None, began: float) -> None:
        await self._keeper.leave(turn)
        last: LogEvent | None = None
        if problem is None:
            try:
                last = await self._finish(turn, outcome, began)
            except Exception as error:  # noqa: BLE001 - filters and calculators are plugin code
                failure, problem = self._judge(turn, error)
        if problem is not None:
            last = turn.log.make("problem", problem)
            await self._store.fail(turn, failure, last)
        if last is not None:
            turn.log.close(last)

    def _judge(self, turn: Turn, error: Exception) -> tuple[WorkFailure, Problem]:
        """Return what a failure means to the meter, and to the one who asked."""
        if isinstance(error, HubError):
            return WorkFailure.CRASHED, error.problem(turn.id)
        if isinstance(error, AIError):
            return WorkFailure.PROVIDER, _ai_problem(error).problem(turn.id)
        self._ctx.log.error("chat.turn.crashed", extra={"turn": turn.id}, exc_info=error)
        return WorkFailure.CRASHED, Problem(title="Internal error", status=500, code="internal", detail="The turn failed.", instance=turn.id)

    async def _finish(self, turn: Turn, outcome: Outcome, began: float) -> LogEvent:
        """Filter, evaluate, store; return the log's last event, which is stored with the rest."""
        outcome.text = await self._ctx.decisions.filter("filter.reply", outcome.text)
        if outcome.usage is None:
            words = len(outcome.text.split())
            outcome.usage = Usage(input_tokens=len(turn.ask.message.split()), output_tokens=words, origin="estimated")
        evaluation: Evaluation = await self._ctx.run_sync(self._resonance.evaluate, self._evidence(turn, outcome), turn.ask.calculator)
        message_id = self._ctx.new_id("msg") if turn.session_id is not None else None
        took = (time.perf_counter() - began) * 1000
        last = turn.log.make("end", answer_of(turn, outcome, evaluation, message_id, took, self._ctx.clock.now()))
        if message_id is not None:
            await self._store.finish(turn, outcome, evaluation, message_id, last)
        return last

    def _evidence(self, turn: Turn, outcome: Outcome) -> TurnEvidence:
        now, context = self._ctx.clock.now(), turn.ask.context
        return TurnEvidence(
            message=turn.ask.message,
            reply=turn.prefix + outcome.text,
            history=tuple(PastMessage(said.role, said.content, max(0.0, (now - said.at).total_seconds())) for said in turn.history[-50:]),
            persona=turn.persona,
            previous_sessions=turn.previous_sessions,
            sources=len(outcome.sources),
            latency=outcome.first_content,
            signals=dict(context.signals),
            active_frequencies=turn.active_frequencies,
            filtered=turn.active_frequencies is not None and len(turn.active_frequencies) < len(all_frequencies()),
            witness=context.witness,
        )


def _ai_problem(error: AIError) -> HubError:
    """Return what a provider's failure means to the one who asked."""
    if error.kind in (AIErrorKind.RATE, AIErrorKind.QUOTA):
        return RateLimited(
            "The AI provider has no room now.", code=f"chat.provider-{error.kind}", hint="Try again later.", retry_after=error.retry_after
        )
    return Upstream(f"The AI provider failed ({error.kind}): {error}", code=f"chat.provider-{error.kind}", hint="Try again, or name another model.")
