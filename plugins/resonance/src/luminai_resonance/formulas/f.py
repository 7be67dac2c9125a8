"""Formula F: the plain product of three given scalars, for callers that measure themselves."""

from __future__ import annotations

from msgspec.structs import replace

from luminai import ResonanceReport, TurnEvidence
from luminai_resonance.formulas.report import report
from luminai_resonance.terms import contextual_potential, signal, structural_cadence, temporal_attention

GIVEN = {"phi_e": "contextual_potential", "phi_t": "temporal_attention", "psi_r": "structural_cadence"}


class FormulaF:
    """R = contextual potential x temporal attention x structural cadence, each as a signal where given; W makes it R'."""

    name = "formula-f"
    version = "1"
    title = "Formula F (genesis)"
    citation = "LuminAI Genesis, tgcr_core (formula F)"

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        """Return the product of the given terms, those of formula A standing in."""
        terms = []
        for part in (contextual_potential(evidence), temporal_attention(evidence), structural_cadence(evidence)):
            name = GIVEN[part.name]
            if name in evidence.signals:
                value = signal(evidence, name, part.value)
                part = replace(part, value=value, inputs={name: value}, formula=name, citation=self.citation, note="given")  # noqa: PLW2901
            terms.append(part)
        value = terms[0].value * terms[1].value * terms[2].value
        return report(self, evidence, terms, value, "phi_e x phi_t x psi_r")
