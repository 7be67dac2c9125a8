"""The witness multiplier W and R' = R x W."""

from __future__ import annotations

from typing import Final

from luminai import ResonancePart, TurnEvidence

_CITATION: Final = "LuminAI Genesis, tgcr_core: first rule that matches; clamped to 0..1.2"


def witness_part(evidence: TurnEvidence, *, potential: float, attention: float) -> ResonancePart:
    """Return W with its reason.

    Evasion gives 0.3; volatility above 0.7 met with attention above 0.8 gives 1.2; contextual potential below 0.5 gives 0.8; else 1.0.
    """
    evasion = _unit(evidence.signals.get("evasion", 0.0))
    volatility = _unit(evidence.signals.get("volatility", 0.0))
    if not evidence.witness:
        value, why = 1.0, "the witness protocol is off"
    elif evasion > 0.5:
        value, why = 0.3, "the reply evades"
    elif volatility > 0.7 and attention > 0.8:
        value, why = 1.2, "volatility is met with attention"
    elif potential < 0.5:
        value, why = 0.8, "little context to stand on"
    else:
        value, why = 1.0, "presence without strain"
    return ResonancePart(
        name="witness",
        value=value,
        inputs={
            "protocol": float(evidence.witness),
            "evasion": evasion,
            "volatility": volatility,
            "attention": attention,
            "contextual_potential": potential,
        },
        formula="protocol off: 1.0; evasion > 0.5: 0.3; volatility > 0.7 and attention > 0.8: 1.2; contextual potential < 0.5: 0.8; else 1.0",
        citation=_CITATION,
        note=why,
    )


def adjusted(value: float, witness: float) -> float:
    """Return R' = R x W, clamped to 0..1."""
    return _unit(value * witness)


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
