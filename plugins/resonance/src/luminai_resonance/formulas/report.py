"""How a formula's parts become a report."""

from __future__ import annotations

from luminai import ResonanceCalculator, ResonancePart, ResonanceReport, TurnEvidence
from luminai_resonance.terms import observations
from luminai_resonance.witness import adjusted, witness_part


def report(calculator: ResonanceCalculator, evidence: TurnEvidence, terms: list[ResonancePart], value: float, formula: str) -> ResonanceReport:
    """Return the report of ``value`` over the terms φᴱ, φᵗ, ψʳ (in this order); integration quality is min(1, R + 0.2)."""
    value = min(1.0, max(0.0, value))
    witness = witness_part(evidence, potential=terms[0].value, attention=terms[1].value)
    return ResonanceReport(
        calculator=calculator.name,
        version=calculator.version,
        value=value,
        witness=witness.value,
        adjusted=adjusted(value, witness.value),
        formula=formula,
        parts=(*terms, witness, *observations(evidence)),
        integration_quality=min(1.0, value + 0.2),
    )
