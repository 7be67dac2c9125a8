"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from luminai import PluginContext, ResonanceCalculator, Service, hookimpl
from luminai_resonance.config import ResonanceConfig
from luminai_resonance.evaluation import Resonance
from luminai_resonance.formulas import FORMULAS
from luminai_resonance.routes import handlers


def _resonance(ctx: PluginContext) -> Resonance:
    config: ResonanceConfig = ctx.config
    return Resonance(lambda: ctx.providers.resonance_calculators, default=config.calculator)


class Plugin:
    """Formulas A, B, D and F."""

    config: ClassVar = ResonanceConfig

    @hookimpl
    def resonance_calculators(self) -> Sequence[ResonanceCalculator]:
        """Offer the formulas."""
        return FORMULAS

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer evaluation."""
        return [Service(Resonance, _resonance(ctx))]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer frequencies, calculators and explanation."""
        return handlers(_resonance(ctx), lambda: ctx.providers.resonance_calculators, ctx.run_sync)
