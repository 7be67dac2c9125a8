"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import InstanceName, NamedModel, ProviderInstance, ServiceUrl

Format = Literal["mp3_22050_32", "mp3_44100_64", "mp3_44100_128", "mp3_44100_192", "opus_48000_64", "opus_48000_128", "wav_16000", "wav_44100"]
"""Of the service's formats those that players know by their media type; raw samples are left out."""


class SpeakingModel(NamedModel, frozen=True, kw_only=True):
    """A model that speaks."""

    kinds: Annotated[tuple[Literal["speech"], ...], Meta(min_length=1, max_length=1, description="What it does.")] = ("speech",)
    max_characters: Annotated[int, Meta(ge=1, le=100_000, description="Most characters of a text; a longer one is refused unasked.")] = 10_000


MODELS = (
    SpeakingModel(id="eleven_multilingual_v2", title="Eleven Multilingual v2"),
    SpeakingModel(id="eleven_flash_v2_5", title="Eleven Flash v2.5", max_characters=40_000),
)


class ElevenLabsInstance(ProviderInstance, frozen=True, kw_only=True):
    """One account, or a service that speaks the same API."""

    name: InstanceName = "elevenlabs"
    base_url: ServiceUrl = "https://api.elevenlabs.io"
    models: Annotated[tuple[SpeakingModel, ...], Meta(min_length=1, max_length=200, description="Models to offer.")] = MODELS
    voice: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9]{1,64}\Z",
            description="Id of the voice that speaks when the caller names none.",
            examples=["JBFqnCBsd6RMkjVDRZzb"],
        ),
    ] = "JBFqnCBsd6RMkjVDRZzb"
    format: Annotated[Format, Meta(description="Codec, samples a second, and kilobits a second; some need a plan that has them.")] = "mp3_44100_128"


class ElevenLabsConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.voice-elevenlabs.config]``."""

    instances: Annotated[tuple[ElevenLabsInstance, ...], Meta(max_length=16, description="The accounts, each with a name of its own.")] = ()
