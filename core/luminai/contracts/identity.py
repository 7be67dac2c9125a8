"""Who acts, and what they may do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from luminai.contracts.errors import Forbidden

MAX_TEXT: Final = 64 * 1024
"""Characters of one text in a JSON body, where a route's policy says nothing else."""
STEP_UP_MINUTES: Final = 10
"""How long a password or code counts as just given (ASVS 5.0, 7.5.3)."""


class Actor(Struct, frozen=True):
    """An authenticated key, person or job.

    Attributes:
        id: The credential's own id, for example ``key_…``.
        subject: The person or service that owns what the actor creates; owner filters compare this.
        scopes: What it may do: ``<plugin id>:<verb>``, ``hub:<verb>``, or ``*`` for the operator.
        name: Label for people.
        session: Id of the person's session (``ses_…``); "" for keys and jobs.
        organisation: For whom the session or key acts (``org_…``); "" for the person alone.
        authenticated_at: When the person last gave a password or code; None for keys and jobs.
        is_fresh: Whether that was at most ``STEP_UP_MINUTES`` ago.
    """

    id: str
    subject: str
    scopes: frozenset[str] = frozenset()
    name: str = ""
    session: str = ""
    organisation: str = ""
    authenticated_at: datetime | None = None
    is_fresh: bool = False

    def may(self, scope: str) -> bool:
        """Tell whether the actor holds ``scope`` itself, its plugin's ``<id>:*``, or ``*``."""
        return scope in self.scopes or "*" in self.scopes or f"{scope.partition(':')[0]}:*" in self.scopes


def step_up(actor: Actor) -> None:
    """Refuse a session whose person has not given password or code within the last ``STEP_UP_MINUTES``: for money, exports and administration.

    Keys pass: they are no sessions that somebody left open, and their scopes say what they may do.

    Raises:
        Forbidden: the person has to authenticate again (code ``step-up-required``).
    """
    if actor.session and not actor.is_fresh:
        hint = "POST /api/auth/reauthenticate with the password (and a code, if there is a second factor), then try again."
        raise Forbidden(f"This needs a sign-in within the last {STEP_UP_MINUTES} minutes.", code="step-up-required", hint=hint)


class RoutePolicy(Struct, frozen=True):
    """Who may call a route. ``scope`` None with ``anonymous`` False means: any signed-in actor.

    ``limit`` names a class of ``[limits]``, "" is the caller's own. ``stream``: a GET that answers with events for as long as the client listens.
    ``max_text``: characters of one text in its JSON body.
    """

    scope: str | None = None
    anonymous: bool = False
    step_up: bool = False
    limit: str = ""
    keyed: bool = True
    stream: bool = False
    max_text: int = MAX_TEXT


POLICY_KEY = "luminai_policy"


def policy(
    scope: str | None = None,
    *,
    anonymous: bool = False,
    step_up: bool = False,
    limit: str = "",
    keyed: bool = True,
    stream: bool = False,
    max_text: int = MAX_TEXT,
) -> dict[str, Any]:
    """Declare who may call a route: ``@get("/", opt=policy("notes:read"))``. With ``step_up=True`` a session passes only if its person
    authenticated within the last ``STEP_UP_MINUTES``. ``limit`` names the class of ``[limits]`` that counts its calls instead of the caller's own
    (``person``, ``api-key`` or ``anonymous``); ``address`` leaves only the count of the address, for pictures and styles. An ``Idempotency-Key``
    is honoured on every POST, PUT, PATCH and DELETE; with ``keyed=False`` the handler sees to it itself. A GET with ``stream=True`` answers with
    server-sent events for as long as the client listens: it counts among the streams that one person may have open, and may be opened by a ticket,
    as every socket. A route whose texts may be longer than ``MAX_TEXT`` characters says so with ``max_text``, and takes a larger body with Litestar's
    ``request_max_body_size``.

    A route without a policy fails the plugin's check. With ``anonymous=True`` a request without a credential passes;
    one that brings a credential must still hold ``scope``. Anonymous routes need the manifest grant ``anonymous-routes``
    and the operator's ``approve``.
    """
    return {POLICY_KEY: RoutePolicy(scope=scope, anonymous=anonymous, step_up=step_up, limit=limit, keyed=keyed, stream=stream, max_text=max_text)}
