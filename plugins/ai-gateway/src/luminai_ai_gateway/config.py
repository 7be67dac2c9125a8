"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

RouteName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z", max_length=100)]
FullModel = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z",
        max_length=233,
        description="As `<provider>/<model>`.",
        examples=["offline/quote"],
    ),
]
Pattern = Annotated[str, Meta(pattern=r"^[A-Za-z0-9*?._:/@+-]+\Z", max_length=233)]


class Handling(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """How calls are made. All times are seconds."""

    retries: Annotated[
        int, Meta(ge=0, le=10, description="Further tries of a whole call once each of its models was tried, all models together.")
    ] = 1
    first_seconds: Annotated[float, Meta(ge=0.1, le=600, description="Longest wait for a model's first content.")] = 60.0
    idle_seconds: Annotated[float, Meta(ge=0.1, le=600, description="Longest silence between two pieces of content.")] = 30.0
    total_seconds: Annotated[float, Meta(ge=0.1, le=3600, description="Deadline of a whole call, all its tries included.")] = 120.0
    mid_stream: Annotated[
        Literal["stop", "keep", "restart"],
        Meta(description="When a reply breaks off: stop there, keep what came and have the next model go on, or restart with the next model."),
    ] = "stop"
    cache: Annotated[
        bool, Meta(description="Give the same person the same reply to the same request, as long as the cache class `ai-response` says.")
    ] = False


class Route(Handling, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A name for one model, or for several of which the first that can answers."""

    name: Annotated[RouteName, Meta(description="What callers ask for; as a provider's model it is `gateway/<name>`.", examples=["fast"])]
    models: Annotated[tuple[FullModel, ...], Meta(min_length=1, max_length=8, description="Models to ask, best first.", examples=[["offline/quote"]])]
    aliases: Annotated[tuple[RouteName, ...], Meta(max_length=16, description="Other names for it.")] = ()
    title: Annotated[str, Meta(max_length=200, description="Name for people.")] = ""


class GatewayConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-gateway.config]``."""

    routes: Annotated[tuple[Route, ...], Meta(max_length=200, description="Named models.")] = ()
    expose: Annotated[
        tuple[Pattern, ...], Meta(max_length=200, description="Which `<provider>/<model>` may be asked for by that name, with * and ?; empty: none.")
    ] = ("*",)
    direct: Annotated[Handling, Meta(description="How models are called that are asked for as `<provider>/<model>`.")] = Handling()
    prompt_characters: Annotated[int, Meta(ge=1, le=10_000_000, description="Longest input of a call in characters.")] = 400_000
    output_tokens: Annotated[int, Meta(ge=1, le=1_000_000, description="Longest reply in tokens; where it is longer, it is ended.")] = 32_000
    calls_at_once: Annotated[int, Meta(ge=1, le=10_000, description="Calls that run at the same time; others wait.")] = 256
    calls_per_person: Annotated[int, Meta(ge=1, le=1000, description="Calls of one person at the same time.")] = 32
    waiting: Annotated[int, Meta(ge=0, le=100_000, description="Calls that may wait for a place; further ones are refused.")] = 512
    waiting_seconds: Annotated[float, Meta(ge=0, le=600, description="Longest wait for a place.")] = 10.0
    keep_days: Annotated[int, Meta(ge=1, le=3650, description="Days for which records of calls are kept.")] = 400
