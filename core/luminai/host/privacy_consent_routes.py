"""What the signed-in person agreed to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, get, post, put
from litestar.params import JSONBody
from msgspec import Meta, Struct
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, NotFound
from luminai.contracts.identity import policy
from luminai.http.pages import page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import consents
from luminai.identity.consents import DO_NOT_SELL, ConsentRecord
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

AnyRequest = Request[Any, Any, Any]


class ConsentRequest(Struct, forbid_unknown_fields=True):
    """Gives consent to the text of ``version``, or takes it back."""

    purpose: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}\Z")]
    version: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    given: bool


class PurposeState(Struct, frozen=True, kw_only=True):
    """A purpose with the version of its text, and what the person said: None before any answer. ``is_current``: to this version of the text."""

    purpose: str
    title: str
    version: str
    given: bool | None
    is_current: bool


class Consents(Struct, frozen=True, kw_only=True):
    """Where the person stands on each purpose, and all answers, newest first."""

    purposes: list[PurposeState]
    items: list[ConsentRecord]
    next_cursor: str | None


class DoNotSellRequest(Struct, forbid_unknown_fields=True):
    """Opts out, or in again."""

    do_not_sell: bool


class DoNotSell(Struct, frozen=True, kw_only=True):
    """Whether the person's data may not be sold or shared, and since when that was said."""

    do_not_sell: bool
    at: datetime | None


def consent_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    purposes = hub.settings.privacy.purposes

    @get("/api/users/me/consents", opt=policy())
    async def list_consents(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Consents:
        """List the hub's purposes with the own newest answer to each, and all own answers."""
        person = require_session(signed_in(request)).subject

        def unit(session: Session) -> Consents:
            newest = consents.newest(session, person)
            found = consents.history(session, person, limit=limit + 1, before=cursor)
            states = [_state(name, purpose.title, purpose.version, newest.get(name)) for name, purpose in sorted(purposes.items())]
            return Consents(purposes=states, items=found[:limit], next_cursor=found[limit - 1].id if len(found) > limit else None)

        return await hub.database.read(unit)

    @post("/api/users/me/consents", opt=policy(), status_code=200)
    async def answer_consent(request: AnyRequest, data: JSONBody[ConsentRequest]) -> ConsentRecord:
        """Give consent to a purpose, or take it back; it can be given only to the text as it is now, and taken back at any time."""
        person, now = require_session(signed_in(request)).subject, hub.clock.now()
        purpose = purposes.get(data.purpose)
        if purpose is None and data.given:
            hint = f"Known: {', '.join(sorted(purposes)) or 'none'}."
            raise NotFound(f"There is no purpose {data.purpose}.", code="purpose-not-found", hint=hint)
        if purpose is not None and data.given and data.version != purpose.version:
            hint = f"Show the text of version {purpose.version} and ask again."
            raise Conflict("The text has changed since.", code="consent-text-changed", hint=hint)

        def unit(session: Session) -> ConsentRecord:
            if purpose is None and data.purpose not in consents.newest(session, person):
                raise NotFound(f"There is no purpose {data.purpose}.", code="purpose-not-found")
            return consents.answer(session, person, data.purpose, version=data.version, given=data.given, how="account", now=now)

        return await hub.database.write(unit)

    @get("/api/users/me/do-not-sell", opt=policy())
    async def show_do_not_sell(request: AnyRequest) -> DoNotSell:
        """Tell whether the own data may not be sold or shared."""
        person = require_session(signed_in(request)).subject
        return await hub.database.read(lambda session: _do_not_sell(consents.newest(session, person).get(DO_NOT_SELL)))

    @put("/api/users/me/do-not-sell", opt=policy())
    async def set_do_not_sell(request: AnyRequest, data: JSONBody[DoNotSellRequest]) -> DoNotSell:
        """Opt out of having the own data sold or shared, or in again."""
        person, now = require_session(signed_in(request)).subject, hub.clock.now()
        given = data.do_not_sell
        write = consents.answer
        return _do_not_sell(
            await hub.database.write(lambda session: write(session, person, DO_NOT_SELL, version="", given=given, how="account", now=now))
        )

    return [list_consents, answer_consent, show_do_not_sell, set_do_not_sell]


def _state(name: str, title: str, version: str, known: ConsentRecord | None) -> PurposeState:
    given = known.given if known is not None else None
    return PurposeState(purpose=name, title=title, version=version, given=given, is_current=known is not None and known.version == version)


def _do_not_sell(known: ConsentRecord | None) -> DoNotSell:
    return DoNotSell(do_not_sell=known is not None and known.given, at=known.at if known is not None else None)
