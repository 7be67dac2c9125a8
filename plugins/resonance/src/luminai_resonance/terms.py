"""The three terms as formula A computes them from a turn; other formulas start from them."""

from __future__ import annotations

from typing import Final

from luminai import ResonancePart, TurnEvidence
from luminai_resonance.measures import entrainment, lexical_diversity, local_coherence, novelty, recency_similarity, style_matching

SOURCE_A: Final = "LuminAI Codex, hub prototype (formula A)"
FREQUENCIES: Final = 16


def contextual_potential(evidence: TurnEvidence) -> ResonancePart:
    """Return φᴱ: 0.5 + 0.2 history + 0.15 earlier sessions + 0.15 world map, at most 1; 0 while a frequency is filtered."""
    history = 1.0 if evidence.history else 0.0
    sessions = 1.0 if evidence.previous_sessions else 0.0
    world = 1.0 if evidence.sources else 0.0
    value = 0.0 if evidence.filtered else min(1.0, 0.5 + 0.2 * history + 0.15 * sessions + 0.15 * world)
    note = "the world map counts when the reply cites the knowledge base"
    if evidence.filtered:
        note = "a filtered frequency sets the term to 0; safety rules and input checks are no filter and stay on"
    return ResonancePart(
        name="phi_e",
        value=value,
        inputs={"user_history": history, "previous_sessions": sessions, "world_map": world, "filtered": float(evidence.filtered)},
        formula="0 if filtered else min(1, 0.5 + 0.2 user_history + 0.15 previous_sessions + 0.15 world_map)",
        citation=SOURCE_A,
        note=note,
    )


def temporal_attention(evidence: TurnEvidence) -> ResonancePart:
    """Return φᵗ: 0.7 + 0.2 urgency + 0.1 emotional intensity, at most 1; both 0.5 where nobody gave them."""
    urgency, emotion = signal(evidence, "urgency", 0.5), signal(evidence, "emotional_intensity", 0.5)
    missing = [name for name in ("urgency", "emotional_intensity") if name not in evidence.signals]
    return ResonancePart(
        name="phi_t",
        value=min(1.0, 0.7 + 0.2 * urgency + 0.1 * emotion),
        inputs={"urgency": urgency, "emotional_intensity": emotion},
        formula="min(1, 0.7 + 0.2 urgency + 0.1 emotional_intensity)",
        citation=SOURCE_A,
        note=f"not given, taken as 0.5: {', '.join(missing)}" if missing else "",
    )


def structural_cadence(evidence: TurnEvidence) -> ResonancePart:
    """Return ψʳ: 0.6 coherence + 0.4 active frequencies / 16, at most 1. Coherence is language style matching of message and reply."""
    active = FREQUENCIES if evidence.active_frequencies is None else min(FREQUENCIES, len(set(evidence.active_frequencies)))
    coherence, note, citation = coherence_of(evidence)
    return ResonancePart(
        name="psi_r",
        value=min(1.0, 0.6 * coherence + 0.4 * active / FREQUENCIES),
        inputs={"coherence": coherence, "active_frequencies": float(active)},
        formula="min(1, 0.6 coherence + 0.4 active_frequencies / 16)",
        citation=citation,
        note=note,
    )


def coherence_of(evidence: TurnEvidence) -> tuple[float, str, str]:
    """Return coherence, 0..1, with note and citation: given, measured, or the prototype's 0.8."""
    if "coherence" in evidence.signals:
        return signal(evidence, "coherence", 0.8), "", SOURCE_A
    measured = style_matching(evidence.message, evidence.reply)
    if measured is None:
        return 0.8, "too short to measure style matching (50 words each), or not English prose; taken as 0.8", SOURCE_A
    return measured, "language style matching of message and reply, English word classes", f"{SOURCE_A}; Ireland & Pennebaker 2010"


def observations(evidence: TurnEvidence) -> list[ResonancePart]:
    """Return measures that are shown beside R and do not enter it."""
    text = f"{evidence.message}\n{evidence.reply}"
    shown = [
        ("phi_e.diversity", lexical_diversity(text), "MATTR over 50 words", "Covington & McFall 2010"),
        ("phi_e.novelty", novelty(evidence.message, evidence.history), "normalised compression distance", "Cilibrasi & Vitányi 2005"),
        ("phi_t.recency", recency_similarity(evidence.message, evidence.history), "cosine, half-life 10 min", "Park et al. 2023"),
        ("psi_r.local_coherence", local_coherence(evidence.reply), "mean cosine of neighbouring sentences", "Foltz et al. 1998"),
        ("psi_r.entrainment", entrainment(evidence.message, evidence.reply), "share of shared content words", "Brennan & Clark 1996"),
    ]
    return [
        ResonancePart(name=name, value=value, formula=formula, citation=citation, note="shown beside R, not part of it")
        for name, value, formula, citation in shown
        if value is not None
    ]


def signal(evidence: TurnEvidence, name: str, default: float) -> float:
    """Return a given signal within 0..1, or ``default``. A value that is no number counts as not given."""
    value = evidence.signals.get(name, default)
    return min(1.0, max(0.0, value)) if value == value else default  # noqa: PLR0124 - NaN is the one value that differs from itself
