"""Having checked who one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter

from luminai.contracts.identity import policy
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import verification
from luminai.identity.sign_in import require_session
from luminai.identity.verification import ClaimedIdentity, IdentityCheckInfo

if TYPE_CHECKING:
    from luminai.host.hub import Hub

CheckId = Annotated[str, PathParameter(pattern=r"^idc_[0-9a-f]{32}\Z")]
AnyRequest = Request[Any, Any, Any]


def verification_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @post("/api/users/verify-identity", opt=policy(step_up=True), status_code=200)
    async def verify_identity(request: AnyRequest, data: JSONBody[ClaimedIdentity]) -> IdentityCheckInfo:
        """Have checked who one is, by the plugin that does it here."""
        return await verification.start(hub.identity, require_session(signed_in(request)), data)

    @get("/api/users/verify-identity", opt=policy())
    async def list_identity_checks(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[IdentityCheckInfo]:
        """List the own checks, newest first; the newest counts."""
        person = require_session(signed_in(request)).subject
        found = await verification.page(hub.identity, person, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/users/verify-identity/{check:str}/refresh", opt=policy(), status_code=200)
    async def refresh_identity_check(request: AnyRequest, check: CheckId) -> IdentityCheckInfo:
        """Ask again how a pending check stands."""
        return await verification.look(hub.identity, require_session(signed_in(request)), check)

    return [verify_identity, list_identity_checks, refresh_identity_check]
