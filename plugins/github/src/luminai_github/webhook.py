"""Verification of a delivery: pure, on the raw body.

Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from luminai import Forbidden, InvalidInput, NotSignedIn, Verified, check_signature, signing_secrets
from luminai_github.config import GitHubConfig
from luminai_github.payloads import read

_EVENT: Final = re.compile(r"^[a-z_]{1,40}\Z")
_DELIVERY: Final = re.compile(r"^[A-Za-z0-9-]{1,100}\Z")


def verify(config: GitHubConfig, body: bytes, headers: Mapping[str, str], now: datetime) -> Verified:
    """Return what GitHub delivered.

    GitHub signs the body alone: delivery id and event name are only as good as the connection. So the hub takes the same body in once whatever
    its id says, and an event must have the shape that its name promises.

    Raises:
        NotSignedIn: no signature, SHA-1 alone, or one that no secret makes.
        Forbidden: genuine, but of a repository that is not in ``repositories`` (code ``github.repository-refused``).
        InvalidInput: headers or payload are not GitHub's.
        Unavailable: no usable secret is configured.
    """
    secrets = signing_secrets(config.secrets, old_until=config.old_until)
    given = headers.get("x-hub-signature-256")
    if not given and headers.get("x-hub-signature"):
        hint = "Set a secret at GitHub; it then sends X-Hub-Signature-256 too."
        raise NotSignedIn("SHA-1 signatures are not accepted.", code="signature-missing", hint=hint)
    check_signature(body, given, secrets, now, prefix="sha256=")
    event, delivery = headers.get("x-github-event", ""), headers.get("x-github-delivery", "")
    if not _EVENT.match(event) or not _DELIVERY.match(delivery):
        raise InvalidInput("X-GitHub-Event or X-GitHub-Delivery is missing or malformed.", code="github.bad-headers", hint="Both come from GitHub.")
    envelope, happening = read(body, event, config.branches)
    repository = envelope.repository.full_name if envelope.repository else ""
    allowed = {name.lower() for name in config.repositories}
    if repository and allowed and repository.lower() not in allowed:
        raise Forbidden("This repository may not deliver here.", code="github.repository-refused", hint="Add it to `repositories`.")
    return Verified(id=delivery, event=happening, summary=f"{event} {repository}{'' if happening else ' (skipped)'}")
