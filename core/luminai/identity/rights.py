"""What somebody may do while nobody is there: asked by the id of a subject, without a credential."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.identity import Actor
from luminai.data.tables import api_keys
from luminai.data.tables_people import people
from luminai.identity.key_rows import still_holds
from luminai.identity.people import PREFIX
from luminai.identity.roles import scopes_of


def standing(session: Session, subject: str, organisation: str, now: datetime) -> Actor:
    """Return what a subject may do now: a person what the roles allow (in ``organisation``, if one is given) unless suspended or gone, anybody else
    what keys of that name that still hold may do.
    """
    if subject.startswith(f"{PREFIX}_"):
        status = session.execute(select(people.c.status).where(people.c.id == subject)).scalar()
        scopes = scopes_of(session, subject, organisation=organisation) if status == "active" else frozenset()
    else:
        held = session.execute(select(api_keys.c.scopes).where(api_keys.c.subject == subject, still_holds(now))).scalars()
        scopes = frozenset(scope for one in held for scope in one.split())
    return Actor(subject, subject, scopes, organisation=organisation)
