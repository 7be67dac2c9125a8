"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class StorageLocalConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.storage-local.config]``."""

    folder: Annotated[str, Meta(max_length=1024, description="Folder for objects, relative to config.toml; empty for one in the data folder.")] = ""
    max_bytes: Annotated[int, Meta(ge=1, le=5 * 1024**4, description="Largest object in bytes.")] = 5 * 1024**3
