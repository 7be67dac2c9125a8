"""The action that lists the voices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from luminai import Action, AIError, InstanceName, Job, NotFound, Upstream, Voice
from luminai_voice_elevenlabs.provider import ElevenLabsProvider


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the configured accounts to ask."""

    instance: InstanceName = "elevenlabs"


class Listed(Struct, frozen=True):
    """Its voices."""

    voices: Annotated[tuple[Voice, ...], Meta(max_length=1_000)]


def list_voices(providers: Sequence[ElevenLabsProvider], scope: str) -> Action:
    """Return the action ``list-voices``."""

    async def run(_: Job, given: Which) -> Listed:
        provider = next((one for one in providers if one.name == given.instance), None)
        if provider is None:
            raise NotFound(f"There is no account {given.instance}.", hint="Name one of `instances` in [plugins.voice-elevenlabs.config].")
        try:
            return Listed(tuple(await provider.voices()))
        except AIError as error:
            raise Upstream(f"{provider.name}: {error}", code="voice-elevenlabs.no-voices", retry_after=error.retry_after) from error

    summary = "List the voices of an account, with the ids that speech is asked for by."
    return Action(name="list-voices", summary=summary, input=Which, output=Listed, run=run, scope=scope, timeout=120, concurrency="allow")
