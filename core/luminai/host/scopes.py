"""The scopes that a key can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luminai.host.generation import Generation

CORE_SCOPES: Final = {
    "hub:alerts": "Send test messages through the channels of alerts",
    "hub:audit": "Read the audit log, prove and export it, place legal holds",
    "hub:events": "See everybody's events, replay them to subscriptions",
    "hub:jobs": "See everybody's jobs, retry, edit, discard and pause them",
    "hub:keys": "Make, list, rotate and revoke API keys",
    "hub:mail": "See letters that wait or failed, retry and discard them",
    "hub:monitor": "Read metrics, health in detail, and alerts",
    "hub:people": "See people, invite and suspend them, edit roles, rotate signing keys",
    "hub:plugins": "See plugins, change them, repair them",
    "hub:privacy": "See the data map, export and erase people",
    "hub:schedules": "See everybody's schedules, pause, change and remove them",
    "hub:webhooks": "See webhook deliveries, retry and discard them; send everybody's events outside",
    "organisation:manage": "Rename and delete the organisation that one belongs to, and take any role there away",
    "organisation:members": "Invite people into the organisation that one belongs to, remove them, give them roles there",
}


def known_scopes(generation: Generation) -> dict[str, str]:
    """Return every scope with its title: the core's and those of running plugins."""
    return CORE_SCOPES | {name: title for loaded in generation.plugins for name, title in loaded.planned.manifest.scopes.items()}
