"""A telephone as a second factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai.contracts.identity import policy
from luminai.host.account_routes import NO_STORE, OneTime
from luminai.host.account_session_routes import RecoveryCodes
from luminai.http.requests import client_address, signed_in
from luminai.identity import sms
from luminai.identity.sign_in import require_session
from luminai.identity.sms import CodeSent

if TYPE_CHECKING:
    from luminai.host.hub import Hub

AnyRequest = Request[Any, Any, Any]


class NumberRequest(Struct, forbid_unknown_fields=True):
    """A telephone number with its country (E.164)."""

    number: Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}\Z", description="As in +41791234567.")]


class SentCode(Struct, forbid_unknown_fields=True):
    """The code that was sent."""

    code: Annotated[str, Meta(pattern=r"^[0-9]{6}\Z")]


class ChallengeRequest(Struct, forbid_unknown_fields=True):
    """The challenge of a sign-in."""

    mfa_token: OneTime


def sms_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @post("/api/auth/sms/enrol", opt=policy(step_up=True), status_code=200)
    async def enrol_number(request: AnyRequest, data: JSONBody[NumberRequest]) -> CodeSent:
        """Have a first code sent to a telephone; the number counts once it is confirmed."""
        return await sms.enrol(hub.identity, require_session(signed_in(request)), data.number)

    @post("/api/auth/sms/confirm", opt=policy(step_up=True), status_code=200)
    async def confirm_number(request: AnyRequest, data: JSONBody[SentCode]) -> Response[RecoveryCodes]:
        """Turn the telephone on by its first code; other sessions end. As the first second factor it comes with recovery codes, shown this once."""
        codes = await sms.confirm(hub.identity, require_session(signed_in(request)), data.code)
        return Response(RecoveryCodes(codes), headers=NO_STORE)

    @post("/api/auth/sms/disable", opt=policy(step_up=True), status_code=204)
    async def disable_number(request: AnyRequest) -> None:
        """Forget the telephone number; other sessions end."""
        await sms.disable(hub.identity, require_session(signed_in(request)))

    @post("/api/auth/sms/send", opt=policy(), status_code=200)
    async def send_code(request: AnyRequest) -> CodeSent:
        """Have a code sent, to authenticate again with."""
        return await sms.send(hub.identity, require_session(signed_in(request)).subject)

    @post("/api/auth/mfa/sms", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def send_challenge_code(request: AnyRequest, data: JSONBody[ChallengeRequest]) -> CodeSent:
        """Have a code sent that answers the challenge of a sign-in."""
        return await sms.send_for_challenge(hub.identity, data.mfa_token, address=client_address(request))

    return [enrol_number, confirm_number, disable_number, send_code, send_challenge_code]
