"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=48)]


class PersonasConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.personas.config]``."""

    default: Annotated[Name, Meta(description="Id of the persona that answers when none is named.")] = "ely"
    disabled: Annotated[tuple[Name, ...], Meta(max_length=64, description="Ids of personas that are not offered.")] = ()
