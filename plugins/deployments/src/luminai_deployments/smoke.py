"""The resonance that a hub begins with: a fixed conversation, scored by its calculator. Whoever compares two deployments compares this."""

from __future__ import annotations

from typing import Final

from luminai import PastMessage, TurnEvidence
from luminai_resonance import Resonance

CONVERSATION: Final = TurnEvidence(
    history=(
        PastMessage("user", "Good morning. I slept badly and there is a lot to do today.", age=60.0),
        PastMessage("assistant", "Good morning. That sounds tiring. What matters most to you today?", age=50.0),
    ),
    message="I would like to finish one thing well instead of beginning five. How do I choose?",
    reply="Choose the one that you would miss most tonight if it were not done. Which of the five is that, and what is its first small step?",
    previous_sessions=0,
)


def baseline(resonance: Resonance) -> float:
    """Return R of the conversation, two decimals."""
    return resonance.evaluate(CONVERSATION).R
