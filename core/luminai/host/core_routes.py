"""The core's own routes, in areas of paths. An area is imported and built when it is first asked for: most starts need two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class Area(Struct, frozen=True):
    """The paths that begin with one of ``prefixes``, and what makes their handlers."""

    prefixes: tuple[str, ...]
    handlers: Callable[[Hub], Sequence[Any]]


def core_handlers(hub: Hub) -> Sequence[Any]:
    """Return all of the core's route handlers over ``hub``."""
    return [handler for area in AREAS for handler in area.handlers(hub)]


def _state(hub: Hub) -> Sequence[Any]:
    from luminai.host.csp_routes import csp_handlers
    from luminai.host.state_routes import state_handlers

    return [*csp_handlers(), *state_handlers(hub)]


def _plugins(hub: Hub) -> Sequence[Any]:
    from luminai.host.inspect_routes import inspect_handlers
    from luminai.host.permission_routes import permission_handlers
    from luminai.host.plugin_routes import plugin_handlers
    from luminai.host.repair_routes import repair_handlers

    return [*plugin_handlers(hub), *inspect_handlers(hub), *repair_handlers(hub), *permission_handlers(hub)]


def _work(hub: Hub) -> Sequence[Any]:
    from luminai.host.action_routes import action_handlers
    from luminai.host.job_routes import job_handlers

    return [*action_handlers(hub), *job_handlers(hub)]


def _monitor(hub: Hub) -> Sequence[Any]:
    from luminai.host.alert_routes import alert_handlers
    from luminai.host.monitor_routes import monitor_handlers

    return [*monitor_handlers(hub), *alert_handlers(hub)]


def _schedules(hub: Hub) -> Sequence[Any]:
    from luminai.host.schedule_routes import schedule_handlers

    return schedule_handlers(hub)


def _events(hub: Hub) -> Sequence[Any]:
    from luminai.host.endpoint_routes import endpoint_handlers
    from luminai.host.event_routes import event_handlers

    return [*event_handlers(hub), *endpoint_handlers(hub)]


def _live(hub: Hub) -> Sequence[Any]:
    from luminai.host.live_routes import live_handlers
    from luminai.host.live_socket import live_socket

    return [*live_handlers(hub), live_socket(hub)]


def _audit(hub: Hub) -> Sequence[Any]:
    from luminai.host.audit_routes import audit_handlers

    return audit_handlers(hub)


def _post(hub: Hub) -> Sequence[Any]:
    from luminai.host.mail_routes import mail_handlers
    from luminai.host.webhook_routes import webhook_handlers

    return [*webhook_handlers(hub), *mail_handlers(hub)]


def _keys(hub: Hub) -> Sequence[Any]:
    from luminai.host.key_routes import key_handlers

    return key_handlers(hub)


def _account(hub: Hub) -> Sequence[Any]:
    from luminai.host.account_routes import account_handlers
    from luminai.host.account_session_routes import account_session_handlers
    from luminai.host.oauth_routes import oauth_handlers
    from luminai.host.sms_routes import sms_handlers
    from luminai.host.ticket_routes import ticket_handlers
    from luminai.host.verification_routes import verification_handlers

    families = (account_handlers, account_session_handlers, ticket_handlers, sms_handlers, verification_handlers, oauth_handlers)
    return [handler for family in families for handler in family(hub)]


def _people(hub: Hub) -> Sequence[Any]:
    from luminai.host.people_routes import people_handlers

    return people_handlers(hub)


def _organisations(hub: Hub) -> Sequence[Any]:
    from luminai.host.organisation_admin_routes import organisation_admin_handlers
    from luminai.host.organisation_member_routes import organisation_member_handlers
    from luminai.host.organisation_routes import organisation_handlers

    return [*organisation_handlers(hub), *organisation_member_handlers(hub), *organisation_admin_handlers(hub)]


def _privacy(hub: Hub) -> Sequence[Any]:
    from luminai.host.privacy_consent_routes import consent_handlers
    from luminai.host.privacy_routes import privacy_handlers

    return [*privacy_handlers(hub), *consent_handlers(hub)]


_ADMIN: Final = "/api/admin"
AREAS: Final = (
    Area(("/", f"{_ADMIN}/process"), _state),
    Area(
        tuple(f"{_ADMIN}/{name}" for name in ("plugins", "changes", "generations", "reload", "report", "rollback", "repairs", "permissions")),
        _plugins,
    ),
    Area(("/api/actions", "/api/jobs", f"{_ADMIN}/jobs", f"{_ADMIN}/job-pauses"), _work),
    Area(("/metrics", "/health/detailed", f"{_ADMIN}/timings", f"{_ADMIN}/alerts"), _monitor),
    Area(("/api/schedules", f"{_ADMIN}/schedules"), _schedules),
    Area(
        (
            *("/api/events", "/api/event-types", "/api/endpoints"),
            *(f"{_ADMIN}/{name}" for name in ("events", "event-counts", "event-subscriptions", "event-state", "endpoints")),
        ),
        _events,
    ),
    Area(("/api/live", "/ws"), _live),
    Area((f"{_ADMIN}/audit",), _audit),
    Area(("/api/webhook", f"{_ADMIN}/webhooks", f"{_ADMIN}/mail"), _post),
    Area(("/api/setup", "/api/keys", "/api/users/keys"), _keys),
    Area(("/api/auth", "/api/users"), _account),
    Area((f"{_ADMIN}/people", f"{_ADMIN}/roles", f"{_ADMIN}/identity"), _people),
    Area(("/api/organisations", "/api/invitations", "/api/auth/organisation", f"{_ADMIN}/organisations"), _organisations),
    Area((f"{_ADMIN}/privacy", "/api/users/me"), _privacy),
)
"""The longest prefix wins; "/" takes what no other area claims, also paths that nobody serves."""
