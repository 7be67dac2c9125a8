"""The core's own units of work that may see everybody's rows, and why: there are no others.

A unit of the core sees what a plugin's does, the rows of whoever acts, unless the function that it stands in, or that function's class or module, is
named here. What the tables say of owners is in ``data/tables*.py``, how a statement is judged in ``data/owners.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from luminai.data.owners import Acting, acting

UNCONFINED: Final[dict[str, str]] = {
    "luminai.host.desired.DesiredStore.commit": "whoever changed plugins is told by letter, and is found by the credential",
    "luminai.host.organisation_admin_routes": "operators look at organisations of others",
    "luminai.host.organisation_rows": "an organisation ends with the memberships and rows of all its members",
    "luminai.host.permissions": "answers an operator's question about anybody",
    "luminai.host.privacy_erase": "the route says who is erased: oneself, or whom an operator names",
    "luminai.host.privacy_export": "the route says whose rows are exported: one's own, or whom an operator names",
    "luminai.host.privacy_routes._export": "as above, where it is recorded",
    "luminai.host.schedule_clock.ScheduleClock": "schedules run in everybody's name, and what each may do by now is looked up",
    "luminai.host.schedule_list.ScheduleList.run": "the same, for one that is run out of turn by its owner or an operator",
    "luminai.identity.access.Access": "a credential names its session or owner; who acts is known only after it",
    "luminai.identity.administration": "operators look at people and change them",
    "luminai.identity.arrival": "a letter's link, or having signed up a moment ago, tells who comes in",
    "luminai.identity.identity.Identity.tidy": "what is over is deleted, whoever it belonged to",
    "luminai.identity.keys.KeyStore": "keys are found by id before anybody is known, and kept by operators",
    "luminai.identity.key_reminders": "the hub looks after everybody's keys",
    "luminai.identity.invitations": "an invitation is made by one person for another, and taken up by whoever has its link",
    "luminai.identity.memberships": "members of an organisation see each other, and its owners change what they may",
    "luminai.identity.organisations": "an operator makes one for its owner, and counts its members",
    "luminai.identity.outside": "a round trip to another service tells who signs in",
    "luminai.identity.outside_links._waiting": "an identity that waits belongs to a browser, not yet to a person",
    "luminai.identity.outside_links.link": "a password or a letter tells whose the waiting identity is",
    "luminai.identity.outside_links.send_letter": "a letter goes to whoever has the address",
    "luminai.identity.recovery.forgot": "an address tells whose password is forgotten",
    "luminai.identity.recovery.reset": "a letter's link tells whose password is set",
    "luminai.identity.sms._send": "a code goes to whoever is signing in or is signed in",
    "luminai.identity.sms.send_for_challenge": "a challenge tells who is signing in",
    "luminai.identity.sign_in.refresh": "a refresh token tells whose session goes on",
    "luminai.identity.sign_in.second_factor": "a challenge tells who signs in",
    "luminai.identity.sign_in.sign_in": "an address and a password tell who signs in",
    "luminai.identity.sign_in.sign_out": "a refresh token tells whose session ends",
    "luminai.identity.sign_up": "nobody is anybody before signing up; a letter's link tells who is confirmed",
}
"""Reasons by dotted name."""
_HUB: Final = "luminai."


def whose_of(unit: Callable[..., Any]) -> Acting | None:
    """Return whose rows a unit sees that says nothing of it: None, everybody's, for what is named above; else those of whoever acts.

    A unit from outside of the hub's own code (a test, a tool over the database) is nobody's business here: plugins' units always say whose they are.
    """
    while isinstance(unit, partial):
        unit = unit.func
    return None if _is_unconfined(getattr(unit, "__module__", _HUB) or _HUB, getattr(unit, "__qualname__", "")) else acting.get()


@cache
def _is_unconfined(module: str, name: str) -> bool:
    if not f"{module}.".startswith(_HUB):
        return True
    parts = [*module.split("."), *(part for part in name.split(".") if part != "<locals>")]
    return any(".".join(parts[:count]) in UNCONFINED for count in range(1, len(parts) + 1))
