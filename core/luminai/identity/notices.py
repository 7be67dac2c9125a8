"""Letters about sensitive actions: which entries of the audit log are told to whom. A new sensitive action needs one line in ``TOLD``."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import HubError
from luminai.contracts.identity import Actor
from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.tables import api_keys
from luminai.data.tables_people import people
from luminai.data.tables_people import sessions as session_rows
from luminai.identity.people import PREFIX
from luminai.identity.sessions import Device

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

_ENDED: Final = " Other sessions were ended."
_TOLD_NOW: Final = "luminai.told"


class Told(Struct, frozen=True):
    """What a letter says; ``{name}`` stands for the entry's object or a value of its detail. The ``subject`` reads it, or whoever acted.

    ``outlives``: it is sent although the reader's own key is destroyed next.
    """

    what: str
    to: Literal["subject", "actor"] = "subject"
    outlives: bool = False


TOLD: Final[dict[str, Told]] = {
    "password.change": Told("the password was changed." + _ENDED),
    "password.reset": Told("the password was reset. All sessions were ended."),
    "totp.enable": Told("a second factor was turned on: an authenticator app, with new recovery codes." + _ENDED),
    "totp.disable": Told("the second factor was turned off: the authenticator app." + _ENDED),
    "sms.enable": Told("a second factor was turned on: a telephone." + _ENDED),
    "sms.disable": Told("the second factor was turned off: the telephone." + _ENDED),
    "identity.link": Told("sign-in through {service} was linked." + _ENDED),
    "identity.unlink": Told("sign-in through another service was unlinked." + _ENDED),
    "key.create": Told("the API key “{name}” was made. It may: {scopes}."),
    "key.rotate": Told("the API key “{name}” was replaced by another one. It may: {scopes}."),
    "person.roles": Told("your roles were changed. They are now: {roles}."),
    "organisation.roles": Told("your roles in the organisation {object} were changed. They are now: {roles}."),
    "organisation.remove": Told("you were removed from the organisation {object}."),
    "organisation.delete": Told("the organisation {object} was deleted with everything in it.", to="actor"),
    "role.write": Told("the role {object} was changed. It now allows: {scopes}.", to="actor"),
    "privacy.export": Told("an export of all your data was asked for."),
    "privacy.begin-erase": Told("your account and all your data are being erased, for good.", outlives=True),
    "endpoint.create": Told("a webhook endpoint was made: your events are sent to it from now on.", to="actor"),
    "endpoint.rotate": Told("the secret of the webhook endpoint {object} was changed.", to="actor"),
    "endpoint.disable": Told("the webhook endpoint {object} was disabled: {reason} Nothing is sent to it until you enable it."),
    "plugin.enable": Told("plugins were changed: {summary}.", to="actor"),
    "plugin.disable": Told("plugins were changed: {summary}.", to="actor"),
    "plugin.settings": Told("plugins were changed: {summary}.", to="actor"),
    "plugin.rollback": Told("plugins were changed: {summary}.", to="actor"),
    "config.reload": Told("the configuration was read anew.", to="actor"),
}


class Notices:
    """Hears of each entry that the hub itself records, in its unit of work: the letter and its cause are committed together, or neither."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def __call__(self, session: Session, actor: Actor | str, entry: AuditEntry) -> None:
        """Queue the letter that belongs to an entry, at most one to a person in a unit of work. What the hub does of itself is told to nobody."""
        told = TOLD.get(entry.action)
        credential = actor.id if isinstance(actor, Actor) else actor
        if told is None or entry.outcome != "ok" or credential == "hub" or not self._identity.has_mail:
            return
        acting = actor.subject if isinstance(actor, Actor) else _owner(session, credential)
        reader = entry.subject if told.to == "subject" else acting
        row = session.execute(select(people).where(people.c.id == reader)).first() if reader.startswith(f"{PREFIX}_") else None
        email = self._identity.people.profile(session, row).email if row is not None else ""
        heard: set[str] = session.info.setdefault(_TOLD_NOW, set())
        if not email or reader in heard:
            return
        heard.add(reader)
        by = self._by(session, credential, acting, entry) if acting in ("", reader) else "an operator of the hub"
        what = told.what.format_map(_Words(entry))
        self._identity.letters.notice(session, HUB_SUBJECT if told.outlives else reader, email, what, by=by, at=self._identity.clock.now())

    def _by(self, session: Session, credential: str, acting: str, entry: AuditEntry) -> str:
        if credential.startswith("ses_"):
            mine = (session_rows.c.id == credential) & (session_rows.c.person_id == acting)
            sealed = session.execute(select(session_rows.c.device).where(mine)).scalar_one()
            try:
                raw = self._identity.vault.open(session, subject=acting, place=f"{session_rows.name}.device:{credential}", sealed=bytes(sealed))
            except HubError:  # shredded
                return "a session of yours"
            device = msgspec.json.decode(raw, type=Device)
            return f"your session “{device.name}”, opened from {coarse(device.address)}"
        if credential.startswith("key_"):
            return "an API key of yours"
        return f"somebody at {entry.detail.get('network', 'an unknown address')} who read the letter"


class _Words(dict[str, str]):
    """What a letter may name of an entry."""

    def __init__(self, entry: AuditEntry) -> None:
        super().__init__(object=entry.object)
        for name, value in entry.detail.items():
            self[name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    def __missing__(self, name: str) -> str:
        return "nothing"


def coarse(address: str) -> str:
    """Return the neighbourhood of an IP address: enough to tell home from abroad."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "an unknown address"
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))


def _owner(session: Session, credential: str) -> str:
    """Return whose a session or key is, "" when it is nobody's."""
    column = {"ses_": session_rows.c.person_id, "key_": api_keys.c.subject}.get(credential[:4])
    if column is None:
        return ""
    found: Any = session.execute(select(column).where(column.table.c.id == credential)).scalar()
    return found or ""
