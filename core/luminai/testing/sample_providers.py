"""A persona and a calculator for tests that need one and do not care which."""

from __future__ import annotations

from typing import Any

from luminai.contracts.persona import Persona, PersonaVoice
from luminai.contracts.resonance import ResonancePart, ResonanceReport, TurnEvidence


def sample_persona(id: str = "sample", **more: Any) -> Persona:  # noqa: A002 - the field's name
    """Return a whole persona; ``more`` are fields of ``Persona``."""
    fields: dict[str, Any] = {
        "id": id,
        "version": 1,
        "title": id.replace("-", " ").title(),
        "role": "Stands in for a persona in tests.",
        "instructions": "Answer in one sentence.",
        "voice": PersonaVoice(answer="Here is what I found.", refusal="I found nothing."),
        "values": ("clarity",),
        "weight": 0.5,
        "colors": ("#336699",),
        "emoji": "○",
    }
    return Persona(**(fields | more))


class WordCalculator:
    """The share of different words in what was said: simple enough to check by hand."""

    name = "word-share"
    version = "1"
    title = "Share of different words"
    citation = "Made for tests."

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        """Return the share; 0.5 where there is no word."""
        words = f"{evidence.message} {evidence.reply}".lower().split()
        value = len(set(words)) / len(words) if words else 0.5
        part = ResonancePart(
            name="diversity",
            value=value,
            inputs={"words": float(len(words)), "different": float(len(set(words)))},
            formula="different / words",
            citation=self.citation,
            note="" if words else "No word was said; assumed 0.5.",
        )
        return ResonanceReport(
            calculator=self.name, version=self.version, value=value, witness=1.0, adjusted=value, formula="diversity", parts=(part,)
        )
