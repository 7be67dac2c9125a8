"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

VOICE = r"^[a-z]{2,3}(-[A-Za-z0-9]{1,16}){0,4}(\+[A-Za-z][A-Za-z0-9_-]{0,31})?\Z"
"""A voice of the program by its language, and a variant after a plus sign: no path, no option."""


class EspeakConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.voice-espeak.config]``."""

    program: Annotated[
        str,
        Meta(pattern=r"^(/[^\0\n]{1,400}|[A-Za-z0-9._-]{1,64})\Z", description="The program: its name, looked for on the PATH, or its whole path."),
    ] = "espeak-ng"
    voice: Annotated[
        str, Meta(pattern=VOICE, max_length=120, description="Voice that speaks when the caller names none, such as `en-gb` or `de+f3`.")
    ] = "en"
    words_per_minute: Annotated[int, Meta(ge=80, le=450, description="How fast it speaks.")] = 175
    pitch: Annotated[int, Meta(ge=0, le=99, description="How high it speaks.")] = 50
    max_characters: Annotated[int, Meta(ge=1, le=50_000, description="Most characters of a text; a longer one is refused.")] = 10_000
    processes: Annotated[int, Meta(ge=1, le=16, description="Programs at the same time; a call above waits.")] = 2
