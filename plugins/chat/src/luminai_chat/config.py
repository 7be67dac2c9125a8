"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=100)]


class ChatConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.chat.config]``."""

    playground: Annotated[bool, Meta(description="Whether people without a key may ask; nothing of it is saved.")] = False
    playground_per_hour: Annotated[int, Meta(ge=1, le=100_000, description="Questions an hour for one address without a key.")] = 300
    playground_providers: Annotated[tuple[Name, ...], Meta(max_length=16, description="AI providers that may answer without a key.")] = ("offline",)
    model: Annotated[
        str,
        Meta(max_length=200, description="<provider>/<model> that answers when none is named; empty: offline/quote, else that of the only provider."),
    ] = ""
    total_seconds: Annotated[float, Meta(ge=1, le=3600, description="Deadline of a whole turn in seconds.")] = 120.0
    idle_seconds: Annotated[float, Meta(ge=0.1, le=600, description="Longest silence of a provider within a turn, in seconds.")] = 30.0
    turns_at_once: Annotated[int, Meta(ge=1, le=10_000, description="Most turns that run at the same time.")] = 200
    turns_per_actor: Annotated[int, Meta(ge=1, le=1000, description="Most turns of one actor at the same time.")] = 8
    history_characters: Annotated[int, Meta(ge=0, le=1_000_000, description="How much of the conversation a model is sent, newest first.")] = 24_000
    lease_seconds: Annotated[float, Meta(ge=3, le=300, description="Silence of a process that loses it its turns, in seconds.")] = 15.0
    replay_hours: Annotated[int, Meta(ge=1, le=8760, description="How long the log of a turn can be read again after it ended, in hours.")] = 24
    link_hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9.-]+\Z")], ...],
        Meta(max_length=500, description="Hosts that links and images of replies may point to; all others are told as text, not as links."),
    ] = ()
    tools: Annotated[tuple[Name, ...], Meta(max_length=64, description="Tools of plugins that models may ask for; none by itself.")] = ()
    tool_calls: Annotated[int, Meta(ge=0, le=64, description="Most tool calls of one turn.")] = 8
    approval_seconds: Annotated[float, Meta(ge=1, le=300, description="How long a tool that changes something waits for its person's yes.")] = 120.0
