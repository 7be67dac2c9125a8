"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from luminai import AlertRule, Metric, PluginContext, ResonanceCalculator, Service, hookimpl
from luminai_resonance.config import ResonanceConfig
from luminai_resonance.evaluation import Resonance
from luminai_resonance.formulas import FORMULAS
from luminai_resonance.routes import handlers


def _resonance(ctx: PluginContext) -> Resonance:
    config: ResonanceConfig = ctx.config
    took = partial(ctx.metrics.observe, "evaluation_seconds")
    return Resonance(lambda: ctx.providers.resonance_calculators, default=config.calculator, took=took)


class Plugin:
    """Formulas A, B, D and F."""

    config: ClassVar = ResonanceConfig

    @hookimpl
    def resonance_calculators(self) -> Sequence[ResonanceCalculator]:
        """Offer the formulas."""
        return FORMULAS

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Measure how long a value takes."""
        return [Metric(name="evaluation_seconds", kind="histogram", help="Seconds to evaluate a turn.")]

    @hookimpl
    def alert_rules(self) -> Sequence[AlertRule]:
        """Warn when values take long: people wait for them."""
        said = "p95 of an evaluation of R is {value} s."
        return [AlertRule(name="slow", metric="evaluation_seconds", of="p95", above=2.0, at_least=5, severity="critical", message=said)]

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer evaluation."""
        return [Service(Resonance, _resonance(ctx))]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer frequencies, calculators and explanation."""
        return handlers(_resonance(ctx), lambda: ctx.providers.resonance_calculators, ctx.run_sync)
