"""Resonance: a pure function from a turn's evidence to a value that explains itself."""

from __future__ import annotations

from typing import Annotated, Protocol, runtime_checkable

from msgspec import Meta, Struct

from luminai.contracts.persona import Persona

Unit = Annotated[float, Meta(ge=0, le=1)]


class PastMessage(Struct, frozen=True):
    """An earlier utterance. ``role`` is ``user`` or ``assistant``; ``age`` is seconds before this turn."""

    role: str
    text: str
    age: float = 0.0


class TurnEvidence(Struct, frozen=True, kw_only=True):
    """All that a calculator may look at. Numbers a caller did not measure stay None and the calculator says what it assumed.

    Attributes:
        message: What the person wrote in this turn.
        reply: What was answered, empty before there is an answer.
        history: Earlier messages of the session, oldest first.
        persona: Who answered.
        previous_sessions: The actor's earlier sessions; None when unknown or anonymous.
        sources: How many cited sources the reply has.
        latency: Seconds from question to first content.
        signals: Named inputs in 0..1 that a client or a safety plugin supplied, e.g. ``urgency``, ``emotional_intensity``.
        active_frequencies: Ids of active frequencies; None means all.
        filtered: True when the person switched at least one frequency off.
        witness: True while the witness protocol is on.
    """

    message: str
    reply: str = ""
    history: tuple[PastMessage, ...] = ()
    persona: Persona | None = None
    previous_sessions: int | None = None
    sources: int = 0
    latency: float | None = None
    signals: dict[str, float] = {}
    active_frequencies: tuple[str, ...] | None = None
    filtered: bool = False
    witness: bool = True


class ResonancePart(Struct, frozen=True, kw_only=True):
    """One part of a value.

    Attributes:
        name: Stable id, e.g. ``phi_e`` or ``phi_e.diversity``.
        value: Full precision, usually 0..1.
        inputs: The numbers that went in.
        formula: How the value comes from the inputs, readable.
        citation: Where formula or measure was published.
        note: What a reader must know, e.g. "too short to say; assumed 0.5".
    """

    name: str
    value: float
    inputs: dict[str, float] = {}
    formula: str = ""
    citation: str = ""
    note: str = ""


class ResonanceReport(Struct, frozen=True, kw_only=True):
    """A value with everything that explains it. Full precision; rounding (half-up, 2 decimals) is for output only.

    Attributes:
        value: R, 0..1.
        witness: W, 0..1.2: the witness multiplier.
        adjusted: R' = R x W clamped to 0..1.
        parts: Its parts; ``formula`` combines their values to ``value``.
    """

    calculator: str
    version: str
    value: Unit
    witness: Annotated[float, Meta(ge=0, le=1.2)] = 1.0
    adjusted: Unit = 0.0
    formula: str = ""
    parts: tuple[ResonancePart, ...] = ()
    integration_quality: Unit = 0.0


@runtime_checkable
class ResonanceCalculator(Protocol):
    """Computes R. Pure and deterministic: the same evidence gives the same report, byte for byte; no I/O, no clock, no randomness.

    ``name`` is unique in the hub, ``title`` is for people, ``citation`` names the source of the formula. It must answer within 50 ms for
    8 kB of text; the hub calls it in a thread. It raises nothing for odd text (empty, one word, other scripts): it says in ``note``
    what it assumed.
    """

    name: str
    version: str
    title: str
    citation: str

    def score(self, evidence: TurnEvidence) -> ResonanceReport: ...
