"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from luminai import Action, AIError, AIProvider, Health, HealthCheck, HealthState, Job, PluginContext, ProblemItem, Unavailable, Voice, hookimpl
from luminai_voice_espeak.config import EspeakConfig
from luminai_voice_espeak.provider import MODEL, EspeakProvider


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No input."""


class Listed(Struct, frozen=True):
    """The program's voices."""

    voices: Annotated[tuple[Voice, ...], Meta(max_length=1_000)]


class Plugin:
    """Speech on this machine."""

    config: ClassVar = EspeakConfig

    def __init__(self) -> None:
        self._provider: EspeakProvider | None = None

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer the provider ``espeak``."""
        return [self._of(ctx)]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to list the voices."""
        provider = self._of(ctx)

        async def list_voices(_: Job, __: Nothing) -> Listed:
            try:
                return Listed(tuple(await provider.voices()))
            except AIError as error:
                raise Unavailable(f"The voices cannot be listed: {error}.", code="voice-espeak.no-voices") from error

        summary = "List the voices of espeak-ng by language."
        return [Action(name="list-voices", summary=summary, input=Nothing, output=Listed, run=list_voices, scope=f"{ctx.id}:manage", timeout=60)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the program is there."""
        program = self._of(ctx).program

        async def check() -> Health:
            problem = await ctx.run_sync(lambda: program.problem)
            return Health(HealthState.DEGRADED, problem) if problem else Health(HealthState.OK)

        return [HealthCheck(name="program", check=check)]

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Have it speak a word with the voice of the settings."""
        provider = self._of(ctx)
        try:
            await provider.speak(MODEL, "Ready.", timeout=10.0)
        except AIError as error:
            missing = error.code == "not-installed"
            return [ProblemItem(str(error), pointer="program" if missing else "voice", code=error.code or str(error.kind))]
        return []

    def _of(self, ctx: PluginContext) -> EspeakProvider:
        if self._provider is None:
            self._provider = EspeakProvider(ctx.config)
        return self._provider
