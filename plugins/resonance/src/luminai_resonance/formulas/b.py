"""Formula B: the conscience protocol's engine."""

from __future__ import annotations

from luminai import ResonancePart, ResonanceReport, TurnEvidence
from luminai_resonance.formulas.report import report
from luminai_resonance.terms import FREQUENCIES, coherence_of, signal

CHANNELS = 8
"""visual, audio, text, meta, somatic, temporal, relational, energetic."""


class FormulaB:
    """R = φᴱ x φᵗ x ψʳ with channels, latency and stress."""

    name = "formula-b"
    version = "1"
    title = "Formula B (conscience protocol)"
    citation = "LuminAI Codex, conscience protocol, resonance engine (formula B)"

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        """Return the product of the three terms. Signals: channels (share of 8), emotion, context_retained, presence, consistency …"""
        terms = [self._potential(evidence), self._attention(evidence), self._cadence(evidence)]
        value = terms[0].value * terms[1].value * terms[2].value
        return report(self, evidence, terms, value, "phi_e x phi_t x psi_r")

    def _potential(self, evidence: TurnEvidence) -> ResonancePart:
        channels = signal(evidence, "channels", 1 / CHANNELS) * CHANNELS
        active = FREQUENCIES if evidence.active_frequencies is None else min(FREQUENCIES, len(set(evidence.active_frequencies)))
        emotion = signal(evidence, "emotional_intensity", 0.5)
        return ResonancePart(
            name="phi_e",
            value=min(1.0, channels / CHANNELS * active / FREQUENCIES * (1 + emotion)),
            inputs={"channels": channels, "active_frequencies": float(active), "emotion": emotion},
            formula="min(1, channels / 8 x active_frequencies / 16 x (1 + emotion))",
            citation=self.citation,
            note="" if "channels" in evidence.signals else "text is the one channel of a chat",
        )

    def _attention(self, evidence: TurnEvidence) -> ResonancePart:
        latency = latency_score(evidence.latency)
        retained = signal(evidence, "context_retained", 1.0 if evidence.history else 0.5)
        presence = signal(evidence, "presence", 1.0)
        urgency = signal(evidence, "urgency", 0.5)
        value = latency * retained * presence * (1.5 if urgency > 0.7 else 1.0)
        return ResonancePart(
            name="phi_t",
            value=min(1.0, value),
            inputs={"latency": latency, "context_retained": retained, "presence": presence, "urgency": urgency},
            formula="min(1, latency x context_retained x presence x (1.5 if urgency > 0.7 else 1))",
            citation=self.citation,
            note="latency not measured, taken as 1" if evidence.latency is None else "",
        )

    def _cadence(self, evidence: TurnEvidence) -> ResonancePart:
        coherence, note, _ = coherence_of(evidence)
        inputs = {
            "consistency": signal(evidence, "consistency", 0.8),
            "value_adherence": signal(evidence, "value_adherence", 0.8),
            "coherence": coherence,
            "frequency_stability": signal(evidence, "frequency_stability", 0.8),
            "stress": signal(evidence, "stress", 0.0),
        }
        steady = 0.3 * inputs["consistency"] + 0.3 * inputs["value_adherence"] + 0.2 * coherence + 0.2 * inputs["frequency_stability"]
        formula = "(0.3 consistency + 0.3 value_adherence + 0.2 coherence + 0.2 frequency_stability) x (1 - 0.5 stress)"
        value = steady * (1 - 0.5 * inputs["stress"])
        return ResonancePart(name="psi_r", value=value, inputs=inputs, formula=formula, citation=self.citation, note=note)


def latency_score(seconds: float | None) -> float:
    """Return how fitting a delay is: below 1 s 0.8, up to 5 s 1.0, then falling to 0 at 30 s; 1.0 when unknown."""
    if seconds is None:
        return 1.0
    if seconds < 1:
        return 0.8
    return 1.0 if seconds <= 5 else max(0.0, 1 - (seconds - 5) / 25)
