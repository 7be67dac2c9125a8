"""Who acts, and what they may do."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Actor(Struct, frozen=True):
    """An authenticated key, person or job.

    Attributes:
        id: The credential's own id, for example ``key_…``.
        subject: The person or service that owns what the actor creates; owner filters compare this.
        scopes: What it may do: ``<plugin id>:<verb>``, ``hub:<verb>``, or ``*`` for the operator.
        name: Label for people.
    """

    id: str
    subject: str
    scopes: frozenset[str] = frozenset()
    name: str = ""

    def may(self, scope: str) -> bool:
        """Tell whether the actor holds ``scope`` itself, its plugin's ``<id>:*``, or ``*``."""
        return scope in self.scopes or "*" in self.scopes or f"{scope.partition(':')[0]}:*" in self.scopes


class RoutePolicy(Struct, frozen=True):
    """Who may call a route. ``scope`` None with ``anonymous`` False means: any signed-in actor."""

    scope: str | None = None
    anonymous: bool = False


POLICY_KEY = "luminai_policy"


def policy(scope: str | None = None, *, anonymous: bool = False) -> dict[str, Any]:
    """Declare who may call a route: ``@get("/", opt=policy("notes:read"))``.

    A route without a policy fails the plugin's check. With ``anonymous=True`` a request without a credential passes;
    one that brings a credential must still hold ``scope``. Anonymous routes need the manifest grant ``anonymous-routes``
    and the operator's ``approve``.
    """
    return {POLICY_KEY: RoutePolicy(scope=scope, anonymous=anonymous)}
