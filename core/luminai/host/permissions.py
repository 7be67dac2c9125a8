"""Why somebody may do something, or may not: the same questions as the guard's and the session layer's, in order, with what each answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct
from sqlalchemy import String, literal, select
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError, NotFound
from luminai.contracts.identity import STEP_UP_MINUTES, Actor, RoutePolicy
from luminai.data.owned_statements import TENANT, owned_by
from luminai.data.tables_people import memberships, people, role_scopes
from luminai.host.scopes import known_scopes
from luminai.http.guard import allow
from luminai.http.inventory import RouteEntry
from luminai.identity.roles import WHOLE_HUB, roles_of, scopes_of, within

if TYPE_CHECKING:
    from luminai.host.hub import Hub

ANONYMOUS: Final = "anonymous"
Verdict = Literal["allows", "denies", "notes"]
_ACTION: Final = re.compile(r"(GET|POST|PUT|PATCH|DELETE|WS) (/\S*)")
_PARAMETER: Final = re.compile(r"\{[^}]*\}")


class Reason(Struct, frozen=True):
    """One question. ``step``: credential, role, scope, route, step-up, limit or owner; ``notes`` decides nothing."""

    step: str
    verdict: Verdict
    detail: str


class Permission(Struct, frozen=True, kw_only=True):
    """The answer: the reasons in the order in which they are asked. ``code`` is that of the refusal, "" when allowed."""

    actor: str
    action: str
    object: str
    allowed: bool
    code: str
    reasons: list[Reason]


class _Refused(Exception):
    """The question that denies; nothing behind it is asked."""

    def __init__(self, code: str, reason: Reason) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


async def why(hub: Hub, actor: str, action: str, object_id: str = "") -> Permission:
    """Return whether ``actor`` (``anonymous``, ``key_…`` or ``usr_…``) may do ``action`` (a scope, or ``METHOD /path``) to the row ``object_id``.

    Raises:
        NotFound: no such scope or route is there (codes ``unknown-scope``, ``unknown-route``).
    """
    route = _find_route(hub, action)
    if route is None and action not in known_scopes(hub.generation):
        hint = "Ask for a scope such as chat:read, or for a route such as `GET /api/sessions`; `luminai plugins routes` lists them."
        raise NotFound(f"There is no scope {action}.", code="unknown-scope", hint=hint)
    reasons: list[Reason] = []
    code = ""
    try:
        acts = await _actor(hub, actor, reasons)
        for reason in _asked(acts, action, route):
            reasons.append(reason)  # noqa: PERF402 - what was asked before a refusal is told too
        if object_id:
            reasons.append(await _owner(hub, acts, object_id))
    except _Refused as refused:
        code = refused.code
        reasons.append(refused.reason)
    return Permission(actor=actor, action=action, object=object_id, allowed=not code, code=code, reasons=reasons)


def all_routes(hub: Hub) -> list[RouteEntry]:
    """Return every route of the core and of running plugins with its policy."""
    return [*hub.core_routes, *(entry for loaded in hub.generation.plugins for entry in loaded.routes)]


async def _actor(hub: Hub, name: str, reasons: list[Reason]) -> Actor | None:
    if name == ANONYMOUS:
        reasons.append(Reason("credential", "notes", "There is no credential."))
        return None
    if not name.startswith("key_"):
        return Actor(name, name, await _rights(hub, name, reasons), session="ses", is_fresh=True)
    stored = await hub.keys.find(name)
    if stored is None:
        raise _refused("bad-credential", "credential", f"There is no key {name}.")
    info, now = stored.info, hub.clock.now()
    if info.revoked_at is not None:
        raise _refused("bad-credential", "credential", f"The key {info.name} was revoked at {info.revoked_at:%Y-%m-%d %H:%M} UTC.")
    if info.expires_at is not None and info.expires_at <= now:
        successor = f" It was replaced by {info.replaced_by}." if info.replaced_by else ""
        raise _refused("bad-credential", "credential", f"The key {info.name} expired at {info.expires_at:%Y-%m-%d %H:%M} UTC.{successor}")
    scopes = frozenset(info.scopes)
    reasons.append(Reason("credential", "allows", f"The key {info.name} of {info.subject} holds; its scopes: {_listed(scopes)}."))
    if await hub.identity.access.rights(info.subject) is not None:  # the subject is a person
        rights = await _rights(hub, info.subject, reasons)
        scopes = within(scopes, rights)
        if not scopes:
            raise _refused("bad-credential", "scope", "Its owner holds none of its scopes any more.")
        reasons.append(Reason("scope", "notes", f"Of its scopes its owner still holds: {_listed(scopes)}."))
    return Actor(info.id, info.subject, scopes, info.name)


async def _rights(hub: Hub, person: str, reasons: list[Reason]) -> frozenset[str]:
    def unit(session: Session) -> tuple[Any, list[Any], frozenset[str]]:
        status = session.execute(select(people.c.status).where(people.c.id == person)).scalar()
        held = memberships.outerjoin(role_scopes, role_scopes.c.role == memberships.c.role)
        columns = (memberships.c.organisation_id, memberships.c.role, memberships.c.status, role_scopes.c.plugin_id, role_scopes.c.verb)
        rows = session.execute(select(*columns).select_from(held).where(memberships.c.person_id == person).order_by(*columns[:2])).all()
        return status, list(rows), scopes_of(session, person)

    status, rows, scopes = await hub.database.read(unit)
    if status != "active":
        said = f"The person {person} is {status}." if status else f"There is no person {person}."
        raise _refused("bad-credential", "credential", said)
    reasons.append(Reason("credential", "allows", f"The person {person} is active."))
    given: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        scopes_given = given.setdefault((row.organisation_id, row.role, row.status), [])
        if row.plugin_id is not None:
            scopes_given.append("*" if row.plugin_id == "*" else f"{row.plugin_id}:{row.verb}")
    for (place, role, state), theirs in given.items():
        where = "in the hub" if place == WHOLE_HUB else f"in sessions for {place}, which are not looked at here"
        said = f"The role {role} gives {_listed(theirs)} {where}."
        if state != "confirmed":
            said = f"The role {role} {where} is {state}, not confirmed: it gives nothing."
        reasons.append(Reason("role", "notes", said))
    return scopes


def _asked(actor: Actor | None, action: str, route: RouteEntry | None) -> Iterator[Reason]:
    policy = RoutePolicy(scope=action) if route is None else route.policy
    if policy is None:
        raise _refused("no-policy", "route", "The route declares no policy, so nobody may.")
    if route is not None:
        wants = f"the scope {policy.scope}" if policy.scope else "no scope"
        who = f"a credential with {wants}, or none at all" if policy.anonymous else f"a credential with {wants}"
        yield Reason("route", "notes", f"{route.method} {route.path} ({route.operation}) asks for {who}.")
    if actor is not None or not policy.anonymous:
        try:
            allow(policy, actor)
        except HubError as refused:
            raise _refused(refused.code, "scope" if refused.code == "missing-scope" else "credential", refused.detail) from refused
    yield Reason("scope", "allows", f"{policy.scope} is held." if actor is not None and policy.scope else "None is asked for.")
    if policy.step_up and actor is not None:
        said = f"A session passes only within {STEP_UP_MINUTES} minutes of the last sign-in." if actor.session else "Asked of sessions; keys pass."
        yield Reason("step-up", "notes", said)
    if policy.limit:
        yield Reason("limit", "notes", f"Calls are counted in the class {policy.limit} of [limits].")


async def _owner(hub: Hub, actor: Actor | None, object_id: str) -> Reason:
    tables = [table for loaded in hub.generation.plugins if loaded.metadata is not None for table in loaded.metadata.tables.values()]

    who = actor.subject if actor is not None else ANONYMOUS

    def unit(session: Session) -> tuple[str, str, str, bool] | None:
        for table in tables:
            owner, tenant, keys = owned_by(table), owned_by(table, TENANT), list(table.primary_key.columns)
            named = [literal("") if column is None else column for column in (owner, tenant)]
            if (owner is not None or tenant is not None) and len(keys) == 1 and isinstance(keys[0].type, String):
                found = session.execute(select(*named).where(keys[0] == object_id)).first()
                if found is not None:
                    is_member = not found[1] or bool(roles_of(session, who, organisation=found[1]))
                    return table.name, str(found[0]), str(found[1]), is_member
        return None

    found = await hub.database.read(unit)
    if found is None:
        return Reason("owner", "notes", f"No table of rows with owners has a row {object_id}; a route that asks for one answers that there is none.")
    table, owner, tenant, is_member = found
    if (owner and owner != who) or not is_member:
        whose = tenant if not is_member else owner
        raise _refused("not-found", "owner", f"The row of {table} belongs to {whose}, not to {who}: for them it is not there (404).")
    if tenant:
        said = f"The row of {table} belongs to {tenant}: only sessions that act for it reach it, with the scopes of {who}'s roles there."
        return Reason("owner", "notes", said)
    return Reason("owner", "allows", f"The row of {table} belongs to {owner}.")


def _find_route(hub: Hub, action: str) -> RouteEntry | None:
    """Return the route of ``METHOD /path``, the one with the most literal path; None when the action is a scope."""
    asked = _ACTION.fullmatch(action)
    if asked is None:
        return None
    method, path = asked[1], asked[2].partition("?")[0]
    found = [one for one in all_routes(hub) if one.method == method and (path == one.path or _pattern(one.path).fullmatch(path))]
    if not found:
        raise NotFound(
            f"There is no route {method} {path} in this hub.", code="unknown-route", hint="`luminai plugins routes` lists those of plugins."
        )
    return min(found, key=lambda one: one.path.count("{"))


@lru_cache(maxsize=2048)
def _pattern(path: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in _PARAMETER.split(path)]
    kinds = [r".+" if ":path}" in parameter else r"[^/]+" for parameter in _PARAMETER.findall(path)]
    return re.compile("".join(part + kind for part, kind in zip(parts, [*kinds, ""], strict=True)))


def _refused(code: str, step: str, detail: str) -> _Refused:
    return _Refused(code, Reason(step, "denies", detail))


def _listed(scopes: Any) -> str:
    return ", ".join(sorted(scopes)) or "nothing"
