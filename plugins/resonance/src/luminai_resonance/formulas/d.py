"""Formula D: weighted geometric mean."""

from __future__ import annotations

from luminai import ResonanceReport, TurnEvidence
from luminai_resonance.formulas.report import report
from luminai_resonance.terms import contextual_potential, structural_cadence, temporal_attention


class FormulaD:
    """R = φᴱ^0.3 x φᵗ^0.4 x ψʳ^0.3; 0 if any term is 0."""

    name = "formula-d"
    version = "1"
    title = "Formula D (weighted geometric mean)"
    citation = "TEC TGCR, resonance evaluator (formula D)"

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        """Return the weighted geometric mean of the terms."""
        terms = [contextual_potential(evidence), temporal_attention(evidence), structural_cadence(evidence)]
        value = terms[0].value ** 0.3 * terms[1].value ** 0.4 * terms[2].value ** 0.3
        return report(self, evidence, terms, value, "phi_e^0.3 x phi_t^0.4 x psi_r^0.3")
