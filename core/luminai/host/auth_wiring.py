"""Identity over a hub's parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from luminai.contracts.errors import ConfigRejected, HubError
from luminai.contracts.mail import MAIL_POINT
from luminai.host.lending import lend
from luminai.identity.identity import Identity

if TYPE_CHECKING:
    from luminai.host.hub import Hub
    from luminai.identity.outside_providers import OutsideProvider

_log = logging.getLogger("luminai.identity")


def identity_of(hub: Hub) -> Identity:
    """Return the identity of a hub whose database, vault, audit log and mail are there. Letters can be sent while a plugin carries mail.

    Raises:
        ConfigRejected: a service to sign in through is set up wrong (code ``provider-rejected``).
    """
    return Identity(
        hub.database,
        hub.clock,
        vault=hub.vault,
        queue=hub.mail.queue,
        has_mail=lambda: bool(hub.generation.wiring.extensions.get(MAIL_POINT)),
        lend=lambda point: lend(hub.generation, point),
        audit=hub.audit,
        settings=hub.settings,
        providers=_providers(hub) if hub.settings.identity.providers else {},
    )


def _providers(hub: Hub) -> Mapping[str, OutsideProvider]:
    """Return the services to sign in through; each may be called at its own hosts and nowhere else."""
    from luminai.identity.oidc import OIDCProvider
    from luminai.identity.outside_github import GitHubProvider
    from luminai.identity.outside_providers import given_of, grants_of

    found: dict[str, OutsideProvider] = {}
    for name, settings in hub.settings.identity.providers.items():
        given = given_of(name, settings, partial(_reveal, hub, settings.client_secret))
        try:
            http = hub.outbound.client(f"identity.{name}", grants_of(given))
        except ValueError as error:
            hint = "Name hosts as in login.example.com; a private one by its address and port, as in 10.0.0.7:8443."
            raise ConfigRejected(f"identity.providers.{name} cannot be called: {error}", code="provider-rejected", hint=hint) from error
        found[name] = GitHubProvider(given, http) if given.kind == "github" else OIDCProvider(given, http, hub.clock)
    return found


def _reveal(hub: Hub, reference: str) -> str:
    """Return a client secret. Whoever signs in is not told where the operator keeps it."""
    from luminai.identity.outside_providers import unavailable

    try:
        return hub.supervisor.runtime.resolve_secret(reference)
    except HubError as error:
        _log.error("identity.client-secret.missing", extra={"reference": reference, "reason": error.detail})
        raise unavailable("the hub has no client secret for it") from None
