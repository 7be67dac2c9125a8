"""One turn, from the question to the closed log. It runs as a task of the hub, not of the request that asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from luminai import (
    AIError,
    AIErrorKind,
    AIProvider,
    ChatMessage,
    ChatRequest,
    End,
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
    SourceFound,
    StreamEvent,
    TextDelta,
    TurnEvidence,
    Upstream,
    Usage,
    WorkFailure,
)
from luminai_chat.config import ChatConfig
from luminai_chat.schemas import (
    BadgeView,
    Card,
    ChatAnswer,
    ChatAsk,
    ChipView,
    PersonaRef,
    ResonanceView,
)
from luminai_chat.store import Said
from luminai_chat.turn_log import TurnLog
from luminai_resonance import Evaluation, Resonance, all_frequencies, round_half_up

if TYPE_CHECKING:
    from luminai_chat.charges import Charges

MAX_REPLY = 200_000


class Turn(Struct, kw_only=True, eq=False):
    """Everything that one turn is about. ``session_id`` None and no ``subject``: the playground, nothing is saved."""

    id: str
    ask: ChatAsk
    subject: str
    session_id: str | None
    message_id: str | None
    parent_id: str | None
    history: Sequence[Said]
    previous_sessions: int | None
    persona: Persona
    provider: AIProvider
    model: Model
    log: TurnLog
    active_frequencies: tuple[str, ...] | None = None
    held: Held | None = None
    covered_tokens: int = 0
    task: Any = None

    @property
    def full_model(self) -> str:
        """``<provider>/<model>``."""
        return f"{self.provider.name}/{self.model.id}"

    def opening(self) -> dict[str, Any]:
        """Return what the first event says."""
        return {
            "turn_id": self.id,
            "session_id": self.session_id,
            "persona": PersonaRef(self.persona.id, self.persona.title, self.persona.version),
            "model": self.full_model,
            "playground": self.session_id is None,
        }


class Outcome(Struct, kw_only=True):
    """What came out of the provider."""

    text: str = ""
    sources: list[Source] = []
    end: EndState = EndState.CUT
    usage: Usage | None = None
    covered: bool = True
    first_content: float | None = None
    reason: str = ""


class Runner:
    """Runs turns.

    Args:
        save: Stores the reply of a turn that is kept, in one unit of work; returns after it is durable.
        charges: What grows and gives back what a turn costs.
    """

    def __init__(
        self, ctx: PluginContext, resonance: Resonance, save: Callable[[Turn, Outcome, Evaluation, float], Awaitable[str]], charges: Charges
    ) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._resonance = resonance
        self._save = save
        self._charges = charges

    async def run(self, turn: Turn) -> None:
        """Take a turn to its end, whatever that is; the log's last event tells it."""
        began = time.perf_counter()
        turn.log.add("turn", turn.opening())
        outcome = Outcome()
        try:
            await self._generate(turn, outcome, began)
            turn.log.close("end", await self._finish(turn, outcome, began))
        except asyncio.CancelledError:
            outcome.end, outcome.reason = EndState.CANCELLED, "cancelled"
            turn.log.close("end", await asyncio.shield(self._finish(turn, outcome, began)))
        except HubError as error:
            await self._charges.drop(turn, WorkFailure.CRASHED)
            turn.log.close("problem", error.problem(turn.id))
        except AIError as error:
            await self._charges.drop(turn, WorkFailure.PROVIDER)
            turn.log.close("problem", _ai_problem(error).problem(turn.id))
        except Exception:
            await self._charges.drop(turn, WorkFailure.CRASHED)
            self._ctx.log.exception("chat.turn.crashed", extra={"turn": turn.id})
            turn.log.close("problem", Problem(title="Internal error", status=500, code="internal", detail="The turn failed.", instance=turn.id))

    async def _generate(self, turn: Turn, outcome: Outcome, began: float) -> None:
        """Read the provider's stream into the log; honest about how it ended."""
        request = ChatRequest(model=turn.model.id, messages=self._messages(turn), timeout=self._config.total_seconds, locale=turn.ask.context.locale)
        held: list[StreamEvent] | None = None if turn.model.follows_instructions else []
        async with aclosing(self._events(turn, request)) as events:
            async for event in events:
                if isinstance(event, End):
                    outcome.end, outcome.usage, outcome.covered, outcome.reason = event.state, event.usage, event.covered, event.reason
                    break
                if outcome.first_content is None:
                    outcome.first_content = time.perf_counter() - began
                if held is not None:  # wait to see whether there is an answer, so that the persona's line fits it
                    held.append(event)
                    if not isinstance(event, SourceFound):
                        continue
                    self._emit_all(turn, outcome, f"{turn.persona.voice.answer}\n\n", held)
                    held = None
                else:
                    self._emit(turn, outcome, event)
                if len(outcome.text) > MAX_REPLY:
                    outcome.end, outcome.reason = EndState.LENGTH, "the reply grew too long"
                    break
                if not await self._charges.grow(turn, len(outcome.text)):
                    outcome.end, outcome.reason = EndState.LENGTH, "there is not enough left to pay for more"
                    break
        if held:
            self._emit_all(turn, outcome, "" if outcome.covered else f"{turn.persona.voice.refusal} ", held)

    async def _events(self, turn: Turn, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Yield the provider's events and then exactly one end, whatever the provider does; only content resets the idle clock."""
        deadline = asyncio.get_running_loop().time() + self._config.total_seconds
        async with aclosing(turn.provider.stream(request)) as stream:  # type: ignore[type-var]
            while True:
                wait = max(0.0, min(self._config.idle_seconds, deadline - asyncio.get_running_loop().time()))
                try:
                    async with asyncio.timeout(wait):
                        event: StreamEvent | None = await anext(stream, None)
                except TimeoutError:
                    yield End(state=EndState.STALLED, reason=f"no word from the provider for {wait:.0f} s")
                    return
                yield event or End(state=EndState.CUT, reason="the provider's stream ended without an end")
                if event is None or isinstance(event, End):
                    return

    def _emit_all(self, turn: Turn, outcome: Outcome, line: str, held: Sequence[StreamEvent]) -> None:
        if line.strip():
            self._emit(turn, outcome, TextDelta(line))
        for event in held:
            self._emit(turn, outcome, event)

    def _emit(self, turn: Turn, outcome: Outcome, event: StreamEvent) -> None:
        if isinstance(event, TextDelta) and event.text:
            outcome.text += event.text
            turn.log.add("text", {"text": event.text})
        elif isinstance(event, SourceFound):
            outcome.sources.append(event.source)
            turn.log.add("source", event.source)

    def _messages(self, turn: Turn) -> tuple[ChatMessage, ...]:
        """Return instructions, as much of the conversation as fits (newest kept), and the question."""
        kept: list[ChatMessage] = []
        room = self._config.history_characters
        for said in reversed(turn.history):
            room -= len(said.content)
            if room < 0:
                break
            kept.append(ChatMessage("assistant" if said.role == "assistant" else "user", said.content))
        system = [ChatMessage("system", turn.persona.instructions)] if turn.model.follows_instructions else []
        return (*system, *reversed(kept), ChatMessage("user", turn.ask.message))

    async def _finish(self, turn: Turn, outcome: Outcome, began: float) -> ChatAnswer:
        """Filter, evaluate, store; return the answer."""
        outcome.text = await self._ctx.decisions.filter("filter.reply", outcome.text)
        if outcome.usage is None:
            words = len(outcome.text.split())
            outcome.usage = Usage(input_tokens=len(turn.ask.message.split()), output_tokens=words, origin="estimated")
        now = self._ctx.clock.now()
        context = turn.ask.context
        evidence = TurnEvidence(
            message=turn.ask.message,
            reply=outcome.text,
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
        evaluation = await self._ctx.run_sync(self._resonance.evaluate, evidence, turn.ask.calculator)
        saved = await self._save(turn, outcome, evaluation, time.perf_counter() - began) if turn.session_id else None
        return self._answer(turn, outcome, evaluation, saved, (time.perf_counter() - began) * 1000)

    def _answer(self, turn: Turn, outcome: Outcome, evaluation: Evaluation, message_id: str | None, milliseconds: float) -> ChatAnswer:
        report = evaluation.report
        usage = outcome.usage or Usage(input_tokens=0, output_tokens=0, origin="estimated")
        return ChatAnswer(
            session_id=turn.session_id,
            message_id=message_id,
            turn_id=turn.id,
            response=outcome.text,
            R=evaluation.R,
            witness_chips=tuple(ChipView(chip.id, chip.label, chip.icon) for chip in evaluation.chips),
            notebook=_cards(outcome, evaluation),
            resonance=ResonanceView(
                R=evaluation.R,
                value=report.value,
                witness=report.witness,
                adjusted=report.adjusted,
                calculator=report.calculator,
                version=report.version,
                badge=BadgeView(evaluation.badge.state, evaluation.badge.pulse),
                formula=report.formula,
                parts=report.parts,
            ),
            sources=tuple(outcome.sources),
            persona=PersonaRef(turn.persona.id, turn.persona.title, turn.persona.version),
            model=turn.full_model,
            end_state=outcome.end,
            covered=outcome.covered,
            usage=usage,
            playground=turn.session_id is None,
            latency_ms=round(milliseconds, 1),
            timestamp=self._ctx.clock.now(),
        )


def _cards(outcome: Outcome, evaluation: Evaluation) -> tuple[Card, ...]:
    """Return the notebook: how the value came about, what the reply rests on, how it ended if not well."""
    terms = ", ".join(f"{part.name} {round_half_up(part.value):.2f}" for part in evaluation.report.parts if "." not in part.name)
    cards = [Card(section="reasoning", title=f"R = {evaluation.R:.2f}", body=f"{evaluation.report.formula}: {terms}")]
    cards += [Card(section="evidence", title=source.title, body=source.quote, url=source.url) for source in outcome.sources[:20]]
    if outcome.end is not EndState.FINISHED:
        cards.append(Card(section="actions", title=f"The reply is {outcome.end}", body=outcome.reason or "Ask again to go on."))
    return tuple(cards)


def _ai_problem(error: AIError) -> HubError:
    """Return what a provider's failure means to the one who asked."""
    if error.kind in (AIErrorKind.RATE, AIErrorKind.QUOTA):
        return RateLimited(
            "The AI provider has no room now.", code=f"chat.provider-{error.kind}", hint="Try again later.", retry_after=error.retry_after
        )
    return Upstream(f"The AI provider failed ({error.kind}): {error}", code=f"chat.provider-{error.kind}", hint="Try again, or name another model.")
