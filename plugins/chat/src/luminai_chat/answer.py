"""What is told at the beginning and the end of a turn."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from luminai import EndState, Problem, Usage
from luminai_chat.schemas import BadgeView, Card, ChatAnswer, ChipView, PersonaRef, ResonanceView, TurnView
from luminai_resonance import Evaluation, round_half_up

if TYPE_CHECKING:
    from luminai_chat.turn import Outcome, Turn
    from luminai_chat.turn_log import LogEvent
    from luminai_chat.turn_rows import TurnRow

GO_ON: dict[EndState, str] = {
    EndState.CUT: "POST /api/chat/turns/{turn}/continue goes on from here.",
    EndState.STALLED: "POST /api/chat/turns/{turn}/continue goes on from here.",
    EndState.CANCELLED: "POST /api/chat/turns/{turn}/continue goes on from here.",
    EndState.LENGTH: "POST /api/chat/turns/{turn}/continue goes on from here.",
    EndState.FAILED: "POST /api/chat/turns/{turn}/continue tries to go on from here.",
}
"""Ends after which a reply can be continued."""


def opening_of(turn: Turn) -> dict[str, Any]:
    """Return what the first event says."""
    return {
        "turn_id": turn.id,
        "session_id": turn.session_id,
        "persona": persona_ref(turn),
        "model": turn.full_model,
        "playground": turn.session_id is None,
        "continues": turn.parent_id if turn.is_continuation else None,
    }


def answer_of(turn: Turn, outcome: Outcome, evaluation: Evaluation, message_id: str | None, milliseconds: float, at: datetime) -> ChatAnswer:
    """Return the whole answer."""
    report = evaluation.report
    return ChatAnswer(
        session_id=turn.session_id,
        message_id=message_id,
        turn_id=turn.id,
        response=outcome.text,
        continues=turn.parent_id if turn.is_continuation else None,
        R=evaluation.R,
        witness_chips=tuple(ChipView(chip.id, chip.label, chip.icon) for chip in evaluation.chips),
        notebook=_cards(turn, outcome, evaluation),
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
        persona=persona_ref(turn),
        model=turn.full_model,
        end_state=outcome.end,
        covered=outcome.covered,
        usage=outcome.usage or Usage(input_tokens=0, output_tokens=0, origin="estimated"),
        playground=turn.session_id is None,
        latency_ms=round(milliseconds, 1),
        timestamp=at,
        trace=outcome.trace,
    )


def view_of(row: TurnRow, last: LogEvent | None) -> TurnView:
    """Return how a kept turn stands, with what its log's last event tells."""
    ended = msgspec.json.decode(last.data, type=ChatAnswer) if last is not None and last.kind == "end" else None
    return TurnView(
        turn_id=row.id,
        session_id=row.session_id,
        parent_id=row.parent_id,
        message_id=row.reply_id,
        persona=row.persona,
        model=row.model,
        end_state=row.end_state,
        can_continue=row.end_state in GO_ON and row.reply_id is not None,
        created_at=row.created_at,
        usage=ended.usage if ended is not None else None,
        latency_ms=ended.latency_ms if ended is not None else None,
        trace=ended.trace if ended is not None else None,
        problem=msgspec.json.decode(last.data, type=Problem) if last is not None and last.kind == "problem" else None,
    )


def persona_ref(turn: Turn) -> PersonaRef:
    """Return who answers."""
    return PersonaRef(turn.persona.id, turn.persona.title, turn.persona.version)


def _cards(turn: Turn, outcome: Outcome, evaluation: Evaluation) -> tuple[Card, ...]:
    """Return the notebook: how the value came about, what the reply rests on, how it ended if not well."""
    terms = ", ".join(f"{part.name} {round_half_up(part.value):.2f}" for part in evaluation.report.parts if "." not in part.name)
    cards = [Card(section="reasoning", title=f"R = {evaluation.R:.2f}", body=f"{evaluation.report.formula}: {terms}")]
    cards += [Card(section="evidence", title=source.title, body=source.quote, url=source.url) for source in outcome.sources[:20]]
    if outcome.end is not EndState.FINISHED:
        way = GO_ON.get(outcome.end, "").replace("{turn}", turn.id) if turn.session_id is not None else ""
        cards.append(Card(section="actions", title=f"The reply is {outcome.end}", body=outcome.reason or way or "Ask again to go on."))
    return tuple(cards)
