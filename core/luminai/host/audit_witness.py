"""The sealer of a hub, with its way to the witness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luminai.audit.outside import places_of
from luminai.audit.seal import Sealer
from luminai.contracts.errors import ConfigRejected
from luminai.http.outbound.grants import grant_of

if TYPE_CHECKING:
    from luminai.host.hub import Hub


def sealer_of(hub: Hub) -> Sealer:
    """Return the hub's sealer. It may call the witness's host and port and nothing else; a private witness is named by its address.

    Raises:
        ConfigRejected: others can read the key file (code ``audit-key-exposed``), or the hub never calls such a witness (``audit-witness-refused``).
    """
    places, days = places_of(hub.config), hub.settings.audit.key_days
    if not places.witness_url:
        return Sealer(hub.audit, hub.database, hub.clock, places, key_days=days, copy=hub.log_copy)
    try:
        http = hub.outbound.client("audit", [grant_of(places.witness_url)])
    except ValueError as error:
        hint = "Name it as https://host/path; a private one by its address, as in http://10.0.0.7:8080/add."
        raise ConfigRejected(f"audit.witness-url cannot be called: {error}", code="audit-witness-refused", hint=hint) from error
    return Sealer(hub.audit, hub.database, hub.clock, places, http, key_days=days, copy=hub.log_copy)
