"""The core's route that explains permissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from luminai.contracts.identity import policy
from luminai.host.permissions import Permission, why

if TYPE_CHECKING:
    from luminai.host.hub import Hub

ActorName = Annotated[str, QueryParameter(pattern=r"^(anonymous|(key|usr)_[0-9a-f]{32})\Z", description="A key, a person, or `anonymous`.")]
ActionName = Annotated[
    str,
    QueryParameter(
        min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+\Z", description="A scope, or a method and a path: `GET /api/sessions`."
    ),
]
ObjectName = Annotated[
    str, QueryParameter(name="object", max_length=120, pattern=r"^[A-Za-z0-9_.:-]*\Z", description="Id of a row that belongs to somebody.")
]


def permission_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/api/admin/permissions/why", opt=policy("hub:people"))
    async def explain_permission(actor: ActorName, action: ActionName, object_id: ObjectName = "") -> Permission:
        """Explain why somebody may do something, or may not."""
        return await why(hub, actor, action, object_id)

    return [explain_permission]
