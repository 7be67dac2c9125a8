"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import InstanceName, NamedModel, ProviderInstance, ServiceUrl

ROUTER = "https://router.huggingface.co"
HUB = "https://huggingface.co"


class PictureModel(NamedModel, frozen=True, kw_only=True):
    """A model that makes pictures."""

    kinds: Annotated[tuple[Literal["image"], ...], Meta(min_length=1, max_length=1, description="What it does.")] = ("image",)
    steps: Annotated[int, Meta(ge=0, le=150, description="Steps of its work on a picture; 0: as many as the service takes by itself.")] = 0
    guidance: Annotated[float, Meta(ge=0, le=50, description="How closely it keeps to the prompt; 0: as the service does by itself.")] = 0.0
    negative: Annotated[str, Meta(max_length=1000, description="What is not to be in the picture; FLUX has no use for it.")] = ""
    multiple: Annotated[int, Meta(ge=1, le=128, description="Sides are rounded down to a multiple of so many pixels.")] = 16
    longest: Annotated[int, Meta(ge=64, le=8192, description="Longest side in pixels; a longer one is refused.")] = 2048


FLUX = (
    PictureModel(id="black-forest-labs/FLUX.1-schnell", title="FLUX.1 schnell", steps=4),
    PictureModel(id="black-forest-labs/FLUX.1-dev", title="FLUX.1 dev", steps=30, guidance=3.5),
)


class HuggingFaceInstance(ProviderInstance, frozen=True, kw_only=True):
    """One service: Hugging Face's router with one of the providers behind it, or an inference endpoint of yours."""

    name: InstanceName = "huggingface"
    base_url: ServiceUrl = ROUTER
    provider: Annotated[
        Literal["hf-inference", "together", "nscale", "endpoint"],
        Meta(description="Who computes, behind the router; endpoint: base-url is an inference endpoint that serves one model."),
    ] = "hf-inference"
    hub_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?)?\Z",
            max_length=1024,
            description="Where models are listed and the key is tried; its host must be approved. Empty: nowhere.",
        ),
    ] = HUB
    models: Annotated[tuple[PictureModel, ...], Meta(min_length=1, max_length=200, description="Models to offer.")] = FLUX


class HuggingFaceConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-huggingface.config]``."""

    instances: Annotated[tuple[HuggingFaceInstance, ...], Meta(max_length=16, description="The services, each with a name of its own.")] = ()
