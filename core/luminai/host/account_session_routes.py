"""What a signed-in person sees and changes of the own account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import Actor, policy
from luminai.data.tables_people import sessions as session_rows
from luminai.host.account_routes import Code, NoCode, Password
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import sign_in, totp
from luminai.identity.people import Person, PersonName, Preferences, PreferencesChange
from luminai.identity.sessions import SessionInfo
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SessionId = Annotated[str, PathParameter(pattern=r"^ses_[0-9a-f]{32}\Z")]
AnyRequest = Request[Any, Any, Any]


class ReauthenticateRequest(Struct, forbid_unknown_fields=True):
    """Password, and code where there is a second factor."""

    password: Password
    code: NoCode = ""


class ConfirmRequest(Struct, forbid_unknown_fields=True):
    """A first code of the authenticator app."""

    code: Code


class RecoveryCodes(Struct):
    """Shown this once; each holds once."""

    recovery_codes: list[str]


class Profile(Struct, forbid_unknown_fields=True):
    """All of the profile that people write; preferences that are left out are as at first."""

    name: PersonName
    preferences: Preferences = Preferences()


class ProfileChange(Struct, forbid_unknown_fields=True):
    """What of the profile changes."""

    name: PersonName | UnsetType = UNSET
    preferences: PreferencesChange | UnsetType = UNSET


class SessionState(Struct, kw_only=True):
    """Who is signed in now. ``session`` is empty for an API key; ``is_fresh``: money and administration are open without giving the password anew."""

    subject: str
    session: str
    organisation: str
    scopes: list[str]
    authenticated_at: datetime | None
    is_fresh: bool


def account_session_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_state(hub), *_sessions(hub), *_second_factor(hub), *_profile(hub)]


def _state(hub: Hub) -> Sequence[Any]:
    @get("/api/auth/verify", opt=policy())
    async def session_state(request: AnyRequest) -> SessionState:
        """Say whom the credential stands for now."""
        actor = signed_in(request)
        return SessionState(
            subject=actor.subject,
            session=actor.session,
            organisation=actor.organisation,
            scopes=sorted(actor.scopes),
            authenticated_at=actor.authenticated_at,
            is_fresh=actor.is_fresh,
        )

    @post("/api/auth/reauthenticate", opt=policy(), status_code=204)
    async def reauthenticate(request: AnyRequest, data: JSONBody[ReauthenticateRequest]) -> None:
        """Give the password anew: for ten minutes money and administration are open."""
        await sign_in.reauthenticate(hub.identity, require_session(signed_in(request)), password=data.password, code=data.code)

    return [session_state, reauthenticate]


def _sessions(hub: Hub) -> Sequence[Any]:
    identity, columns = hub.identity, session_rows.c

    @get("/api/auth/sessions", opt=policy())
    async def list_sessions(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[SessionInfo]:
        """List the own open sessions, newest first."""
        actor, now = require_session(signed_in(request)), hub.clock.now()

        def unit(session: Session) -> list[SessionInfo]:
            return identity.sessions.list(session, actor.subject, now, current=actor.session, limit=limit + 1, before=cursor)

        found = await hub.database.read(unit)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @delete("/api/auth/sessions/{session_id:str}", opt=policy())
    async def end_session(request: AnyRequest, session_id: SessionId) -> None:
        """End one of the own sessions at once; ending it twice is the same."""
        actor, now = require_session(signed_in(request)), hub.clock.now()
        mine = (columns.id == session_id, columns.person_id == actor.subject)

        def unit(session: Session) -> bool:
            is_there = session.execute(session_rows.select().where(*mine)).first() is not None
            if identity.sessions.end(session, now, *mine):
                hub.audit.record(session, actor, AuditEntry(action="session.end", object=session_id, subject=actor.subject))
            return is_there

        if not await hub.database.write(unit):
            raise NotFound(f"There is no session {session_id}.", code="session-not-found", hint="GET /api/auth/sessions lists them.")
        identity.forget(session_id)

    @delete("/api/auth/sessions", opt=policy())
    async def end_other_sessions(request: AnyRequest) -> None:
        """End all the own sessions but this one."""
        actor, now = require_session(signed_in(request)), hub.clock.now()
        others = (columns.person_id == actor.subject, columns.id != actor.session)

        def unit(session: Session) -> None:
            if ended := identity.sessions.end(session, now, *others):
                entry = AuditEntry(action="session.end-others", object=actor.session, subject=actor.subject, detail={"ended": ended})
                hub.audit.record(session, actor, entry)

        await hub.database.write(unit)
        identity.forget(actor.subject)

    return [list_sessions, end_session, end_other_sessions]


def _second_factor(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/totp/enrol", opt=policy(step_up=True), status_code=200)
    async def enrol(request: AnyRequest) -> Response[totp.Enrolment]:
        """Get a secret for an authenticator app; it counts once it is confirmed."""
        return Response(await totp.enrol(hub.identity, require_session(signed_in(request))), headers={"Cache-Control": "no-store"})

    @post("/api/auth/totp/confirm", opt=policy(step_up=True), status_code=200)
    async def confirm(request: AnyRequest, data: JSONBody[ConfirmRequest]) -> Response[RecoveryCodes]:
        """Turn the second factor on by a first code; other sessions end. The recovery codes are shown this once."""
        actor = require_session(signed_in(request))
        codes = await totp.confirm(hub.identity, actor, data.code)
        return Response(RecoveryCodes(codes), headers={"Cache-Control": "no-store"})

    @post("/api/auth/totp/disable", opt=policy(step_up=True), status_code=204)
    async def disable(request: AnyRequest) -> None:
        """Turn the second factor off; other sessions end."""
        await totp.disable(hub.identity, require_session(signed_in(request)))

    return [enrol, confirm, disable]


def _profile(hub: Hub) -> Sequence[Any]:
    people = hub.identity.people

    @get("/api/users/profile", opt=policy())
    async def profile(request: AnyRequest) -> Person:
        """Return the own account with its preferences."""
        actor = require_session(signed_in(request))
        return await hub.database.read(lambda session: people.view(session, people.row(session, actor.subject)))

    @put("/api/users/profile", opt=policy())
    async def replace_profile(request: AnyRequest, data: JSONBody[Profile]) -> Person:
        """Write name and preferences anew."""
        return await write(require_session(signed_in(request)), data)

    @patch("/api/users/profile", opt=policy())
    async def change_profile(request: AnyRequest, data: JSONBody[ProfileChange]) -> Person:
        """Change name or preferences; what is left out stays."""
        return await write(require_session(signed_in(request)), data)

    async def write(actor: Actor, data: Profile | ProfileChange) -> Person:
        now = hub.clock.now()

        def unit(session: Session) -> Person:
            row = people.row(session, actor.subject)
            if data.name is not UNSET:
                people.rename(session, row, data.name, now)
            if data.preferences is not UNSET:
                merged = msgspec.convert(row.preferences | msgspec.to_builtins(data.preferences), Preferences)
                people.set(session, row.id, now, preferences=merged)
            changed = [name for name in data.__struct_fields__ if getattr(data, name) is not UNSET]
            hub.audit.record(session, actor, AuditEntry(action="person.profile", object=row.id, subject=row.id, detail={"changed": changed}))
            return people.view(session, people.row(session, row.id))

        return await hub.database.write(unit)

    return [profile, replace_profile, change_profile]
