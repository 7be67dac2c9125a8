"""The core's own routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from luminai.host.inspect_routes import inspect_handlers
from luminai.host.key_routes import key_handlers
from luminai.host.plugin_routes import plugin_handlers
from luminai.host.repair_routes import repair_handlers
from luminai.host.state_routes import state_handlers

if TYPE_CHECKING:
    from luminai.host.hub import Hub


def core_handlers(hub: Hub) -> Sequence[Any]:
    """Return the core's route handlers over ``hub``."""
    families = (state_handlers, key_handlers, plugin_handlers, inspect_handlers, repair_handlers)
    return [handler for family in families for handler in family(hub)]
