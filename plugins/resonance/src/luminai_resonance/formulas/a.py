"""Formula A: the hub's own, the default."""

from __future__ import annotations

from luminai import ResonanceReport, TurnEvidence
from luminai_resonance.formulas.report import report
from luminai_resonance.terms import SOURCE_A, contextual_potential, structural_cadence, temporal_attention


class FormulaA:
    """R = φᴱ x φᵗ x ψʳ."""

    name = "formula-a"
    version = "1"
    title = "Formula A (hub)"
    citation = SOURCE_A

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        """Return the product of the three terms."""
        terms = [contextual_potential(evidence), temporal_attention(evidence), structural_cadence(evidence)]
        value = terms[0].value * terms[1].value * terms[2].value
        return report(self, evidence, terms, value, "phi_e x phi_t x psi_r")
