"""The scopes that a key can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luminai.host.generation import Generation

CORE_SCOPES: Final = {
    "hub:keys": "Make, list and revoke API keys",
    "hub:plugins": "See plugins, change them, repair them",
}


def known_scopes(generation: Generation) -> dict[str, str]:
    """Return every scope with its title: the core's and those of running plugins."""
    return CORE_SCOPES | {name: title for loaded in generation.plugins for name, title in loaded.planned.manifest.scopes.items()}
