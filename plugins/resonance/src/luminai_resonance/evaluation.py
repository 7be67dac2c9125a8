"""What a surface shows of a value: R rounded, badge, chips, parts."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from msgspec import Struct

from luminai import ResonanceCalculator, ResonanceReport, TurnEvidence, Unprocessable


class Badge(Struct, frozen=True):
    """State: ``critical`` below 0.5, ``steady`` from 0.5 to 0.7, ``resonant`` above 0.7; it pulses below 0.6 and above 0.9."""

    state: Literal["critical", "steady", "resonant"]
    pulse: bool


class Chip(Struct, frozen=True):
    """A small evidence label, derived from data, never from a model's words."""

    id: str
    label: str
    icon: str


class Evaluation(Struct, frozen=True, kw_only=True):
    """R (two decimals, half up) with the report that explains it."""

    R: float
    badge: Badge
    chips: tuple[Chip, ...]
    report: ResonanceReport


class Resonance:
    """Evaluates turns with the calculators of all running plugins.

    Args:
        calculators: Returns every calculator of the hub by name.
        default: Name of the one to use when none is named.
        took: Told the seconds of each evaluation.
    """

    def __init__(
        self, calculators: Callable[[], Mapping[str, ResonanceCalculator]], *, default: str, took: Callable[[float], None] | None = None
    ) -> None:
        self._calculators = calculators
        self._default = default
        self._took = took

    def calculator(self, name: str | None = None) -> ResonanceCalculator:
        """Return a calculator by name, the default without one.

        Raises:
            Unprocessable: there is none of that name (code ``resonance.unknown-calculator``).
        """
        known = self._calculators()
        found = known.get(name or self._default)
        if found is None:
            near = difflib.get_close_matches(name or self._default, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise Unprocessable(f"There is no calculator {(name or self._default)[:60]!r}.", code="resonance.unknown-calculator", hint=hint)
        return found

    def evaluate(self, evidence: TurnEvidence, calculator: str | None = None) -> Evaluation:
        """Return the evaluated turn. Takes up to 50 ms for long texts: call it in a thread."""
        began = time.perf_counter()
        found = present(self.calculator(calculator).score(evidence), evidence)
        if self._took is not None:
            self._took(time.perf_counter() - began)
        return found


def present(report: ResonanceReport, evidence: TurnEvidence) -> Evaluation:
    """Return a report with rounding, badge and chips."""
    return Evaluation(R=round_half_up(report.value), badge=badge(report.value), chips=chips(report, evidence), report=report)


def round_half_up(value: float, places: int = 2) -> float:
    """Round half away from zero, as people do, on the decimal that the float stands for: 0.5 x 0.86 x 0.5 is 0.215, hence 0.22."""
    return float(_settled(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))


def _settled(value: float) -> Decimal:
    """Return the value without the noise that a few float operations leave (below 1e-12), which would tip a boundary."""
    return Decimal(repr(value)).quantize(Decimal("1e-12"), rounding=ROUND_HALF_UP)


def badge(value: float) -> Badge:
    """Return the badge of a value; exactly 0.5 and 0.7 are steady."""
    exact = _settled(value)
    state: Literal["critical", "steady", "resonant"] = "critical" if exact < Decimal("0.5") else "resonant" if exact > Decimal("0.7") else "steady"
    return Badge(state, pulse=exact < Decimal("0.6") or exact > Decimal("0.9"))


def chips(report: ResonanceReport, evidence: TurnEvidence) -> tuple[Chip, ...]:
    """Return the witness chips: R, presence (W >= 0.6), coherence (ψʳ >= 0.8), protocol (witness on), crisis (signal)."""
    cadence = next((part.value for part in report.parts if part.name == "psi_r"), 0.0)
    found = [Chip("r", f"R={round_half_up(report.value):.2f}", "bolt")]
    if report.witness >= 0.6:
        found.append(Chip("presence", "Presence Active", "shield"))
    if cadence >= 0.8:
        found.append(Chip("coherence", "Coherence High", "bolt"))
    if evidence.witness:
        found.append(Chip("protocol", "Protocol Active", "shield"))
    if evidence.signals.get("crisis", 0.0) >= 0.5:
        found.append(Chip("crisis", "Crisis Mode", "alert"))
    return tuple(found)
