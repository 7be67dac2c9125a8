"""Who a person is, as a plugin finds out (KYC): one check after the other, of which the newest counts."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, HubError, InvalidInput, NotFound, Unavailable
from luminai.contracts.identity import Actor, step_up
from luminai.contracts.verification import IDENTITY_CHECK_POINT, IdentityClaim, IdentityFinding
from luminai.data.ids import new_id
from luminai.data.tables_people import identity_checks
from luminai.identity.people import IdentityState
from luminai.identity.throttle import IDENTITY_CHECKS, IDENTITY_LOOKS

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

_log = logging.getLogger("luminai.identity")
GIVEN_UP: Final = timedelta(days=30)
"""A check that is pending for so long may be replaced by a new one."""
_OLDEST: Final = date(1880, 1, 1)
_LINE: Final = r"^[^\x00-\x1f\x7f]*\Z"


class ClaimedIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who one says to be: the name as in the passport, the birthday, the country (ISO 3166-1) and address where one lives."""

    name: Annotated[str, Meta(min_length=1, max_length=120, pattern=_LINE)]
    born: date
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
    address: Annotated[str, Meta(max_length=300, pattern=_LINE)] = ""


class IdentityCheckInfo(Struct, frozen=True, kw_only=True):
    """A check for its person. ``next_url``: where to go on while it is pending, such as to photograph a document; mostly empty."""

    id: str
    state: IdentityState
    reasons: tuple[str, ...]
    next_url: str
    created_at: datetime
    settled_at: datetime | None


async def start(identity: Identity, actor: Actor, claimed: ClaimedIdentity) -> IdentityCheckInfo:
    """Have checked who a person is.

    Raises:
        Forbidden: the person has to authenticate again.
        NotFound: no plugin checks identities (code ``no-identity-check``).
        Conflict: a check is pending (code ``identity-check-pending``).
        InvalidInput: no birthday of somebody alive (code ``bad-birthday``), or the plugin cannot check this claim; nothing is kept.
        Unavailable: the check was not reached (code ``identity-check-failed``); it is kept, and ``look`` asks again.
        RateLimited: five a day.
    """
    step_up(actor)
    now = identity.clock.now()
    if not _OLDEST <= claimed.born < now.date():
        raise InvalidInput("That is no birthday of somebody alive.", code="bad-birthday", hint="Write it as in 1985-12-10.")
    with identity.lend(IDENTITY_CHECK_POINT) as check:
        if check is None:
            raise _not_offered()
        await identity.throttle.count(IDENTITY_CHECKS, f"identity-check:{actor.subject}")
        claim = IdentityClaim(id=new_id("idc"), person=actor.subject, **msgspec.structs.asdict(claimed))
        await identity.database.write(lambda session: _begin(identity, session, actor, claim, str(check.name)[:80], now))
        try:
            return await _ask(identity, actor, check, claim)
        except InvalidInput:
            await identity.database.write(lambda session: _withdraw(identity, session, claim))
            raise


async def look(identity: Identity, actor: Actor, check_id: str) -> IdentityCheckInfo:
    """Ask again how a pending check stands; one that is settled is returned as it is.

    Raises:
        NotFound: the person has no such check (code ``identity-check-not-found``), or no plugin checks identities (``no-identity-check``).
        Unavailable: as for ``start``. RateLimited: thirty an hour.
    """
    info, row = await identity.database.read(lambda session: _found(identity, session, actor.subject, check_id))
    if row.state != "pending":
        return info
    with identity.lend(IDENTITY_CHECK_POINT) as check:
        if check is None:
            raise _not_offered()
        await identity.throttle.count(IDENTITY_LOOKS, f"identity-look:{actor.subject}")
        claim = await identity.database.read(lambda session: _claim(identity, session, row))
        is_same = row.checked_by == str(check.name)[:80]
        try:
            return await _ask(identity, actor, check, claim if is_same else replace(claim, reference=""))
        except InvalidInput as error:  # it was taken once, so this is no answer to the person
            raise _failed(error, claim) from error


async def page(identity: Identity, person: str, *, limit: int, before: str | None) -> list[IdentityCheckInfo]:
    """Return the checks of a person, newest first, those behind the id ``before``."""
    columns = identity_checks.c
    query = select(identity_checks).where(columns.person_id == person).order_by(columns.id.desc()).limit(limit)
    query = query.where(columns.id < before) if before else query
    return await identity.database.read(lambda session: [_info(identity, session, row) for row in session.execute(query)])


async def _ask(identity: Identity, actor: Actor, check: Any, claim: IdentityClaim) -> IdentityCheckInfo:
    try:
        finding = _sound(await check.check(claim))
    except InvalidInput:
        raise
    except Exception as error:  # plugin code may raise anything
        raise _failed(error, claim) from error
    return await identity.database.write(lambda session: _note(identity, session, actor, claim, finding, str(check.name)[:80]))


def _begin(identity: Identity, session: Session, actor: Actor, claim: IdentityClaim, checked_by: str, now: datetime) -> None:
    columns = identity_checks.c
    pending = (columns.person_id == claim.person) & (columns.state == "pending")
    session.execute(update(identity_checks).where(pending, columns.created_at <= now - GIVEN_UP).values(state="expired", claim=None, settled_at=now))
    if (other := session.execute(select(columns.id).where(pending)).scalar()) is not None:
        hint = f"POST /api/users/verify-identity/{other}/refresh tells how it stands."
        raise Conflict("A check is pending.", code="identity-check-pending", hint=hint)
    row = {"id": claim.id, "person_id": claim.person, "state": "pending", "checked_by": checked_by, "created_at": now}
    session.execute(insert(identity_checks).values(**row, claim=_sealed(identity, session, claim, "claim", claim)))
    identity.people.set(session, claim.person, now, identity_state="pending")
    _record(identity, session, actor, claim.id, "start", checked_by)


def _withdraw(identity: Identity, session: Session, claim: IdentityClaim) -> None:
    columns = identity_checks.c
    session.execute(identity_checks.delete().where(columns.id == claim.id, columns.person_id == claim.person))
    newest = select(columns.state).where(columns.person_id == claim.person).order_by(columns.id.desc()).limit(1)
    identity.people.set(session, claim.person, identity.clock.now(), identity_state=session.execute(newest).scalar() or "none")


def _note(identity: Identity, session: Session, actor: Actor, claim: IdentityClaim, finding: IdentityFinding, checked_by: str) -> IdentityCheckInfo:
    """Write down what was found; what was claimed is forgotten once the check is settled."""
    _, row = _found(identity, session, claim.person, claim.id)
    if row.state == "pending":  # else another request was told sooner
        now, is_settled = identity.clock.now(), finding.state != "pending"
        values: dict[str, Any] = {"state": finding.state, "checked_by": checked_by, "settled_at": now if is_settled else None}
        values["finding"] = _sealed(identity, session, claim, "finding", finding)
        values |= {"claim": None} if is_settled else {}
        same = (identity_checks.c.id == claim.id) & (identity_checks.c.person_id == claim.person)
        session.execute(update(identity_checks).where(same).values(**values))
        identity.people.set(session, claim.person, now, identity_state=finding.state)
        if is_settled:
            _record(identity, session, actor, claim.id, finding.state, checked_by)
    return _found(identity, session, claim.person, claim.id)[0]


def _record(identity: Identity, session: Session, actor: Actor, check_id: str, verb: str, checked_by: str) -> None:
    entry = AuditEntry(action=f"identity-check.{verb}", object=check_id, subject=actor.subject, detail={"check": checked_by}, retention="7y")
    identity.audit.record(session, actor, entry)


def _found(identity: Identity, session: Session, person: str, check_id: str) -> tuple[IdentityCheckInfo, Any]:
    columns = identity_checks.c
    row = session.execute(select(identity_checks).where(columns.id == check_id, columns.person_id == person)).first()
    if row is None:
        hint = "GET /api/users/verify-identity lists them."
        raise NotFound(f"There is no identity check {check_id}.", code="identity-check-not-found", hint=hint)
    return _info(identity, session, row), row


def _info(identity: Identity, session: Session, row: Any) -> IdentityCheckInfo:
    finding = _finding(identity, session, row)
    return IdentityCheckInfo(
        id=row.id,
        state=row.state,
        reasons=finding.reasons,
        next_url=finding.next_url if row.state == "pending" else "",
        created_at=row.created_at,
        settled_at=row.settled_at,
    )


def _finding(identity: Identity, session: Session, row: Any) -> IdentityFinding:
    if row.finding is None:
        return IdentityFinding(state="pending")
    raw = identity.vault.open(session, subject=row.person_id, place=_place("finding", row.id), sealed=bytes(row.finding))
    return msgspec.json.decode(raw, type=IdentityFinding)


def _claim(identity: Identity, session: Session, row: Any) -> IdentityClaim:
    raw = identity.vault.open(session, subject=row.person_id, place=_place("claim", row.id), sealed=bytes(row.claim))
    return replace(msgspec.json.decode(raw, type=IdentityClaim), reference=_finding(identity, session, row).reference)


def _sealed(identity: Identity, session: Session, claim: IdentityClaim, column: str, value: Struct) -> bytes:
    return identity.vault.seal(session, subject=claim.person, place=_place(column, claim.id), value=msgspec.json.encode(value))


def _place(column: str, check_id: str) -> str:
    return f"{identity_checks.name}.{column}:{check_id}"


def _sound(finding: Any) -> IdentityFinding:
    """Return a finding after a look at its bounds: a Struct that was built in code has not been validated."""
    if not isinstance(finding, IdentityFinding):
        raise TypeError(f"it returned a {type(finding).__name__}, expected IdentityFinding")
    return msgspec.convert(msgspec.to_builtins(finding), IdentityFinding)


def _failed(error: Exception, claim: IdentityClaim) -> Unavailable:
    said = error.code if isinstance(error, HubError) else type(error).__name__  # its words may be about the person
    _log.warning("identity-check.failed", extra={"check": claim.id, "reason": said})
    hint = f"What you sent is kept. POST /api/users/verify-identity/{claim.id}/refresh asks again."
    return Unavailable("Your identity cannot be checked now.", code="identity-check-failed", hint=hint, retry_after=60)


def _not_offered() -> NotFound:
    hint = "The operator enables a plugin that checks identities."
    return NotFound("No plugin that runs here checks identities.", code="no-identity-check", hint=hint)
