"""Settings of the plugin."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret

Repository = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}\Z")]
Hook = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}/[0-9]{1,19}\Z")]
Branch = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")]
Day = Annotated[
    str,
    Meta(pattern=r"^(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])))?\Z"),
]


class GitHubConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.github.config]``."""

    secrets: Annotated[
        tuple[Secret, ...], Meta(max_length=4, description="References to the webhook's secret, newest first; of 16 bytes or more.")
    ] = ()
    old_secrets_until: Annotated[
        Day, Meta(description="Last day (UTC, as 2026-01-31) on which all secrets but the first hold; empty for always.")
    ] = ""
    repositories: Annotated[
        tuple[Repository, ...],
        Meta(max_length=200, description="Repositories that may deliver, as owner/name; empty for every one that has the secret."),
    ] = ()
    branches: Annotated[tuple[Branch, ...], Meta(min_length=1, max_length=20, description="Branches whose pushes count.")] = ("main",)
    token: Annotated[Secret | None, Meta(description="Reference to a token that may administer the webhooks; for `luminai github reconcile`.")] = None
    hooks: Annotated[
        tuple[Hook, ...],
        Meta(max_length=200, description="Webhooks to compare with GitHub's list, as owner/name/number (the number in its address)."),
    ] = ()
    api: Annotated[
        str,
        Meta(
            pattern=r"^https?://[a-z0-9.:_\[\]-]{1,255}(/[A-Za-z0-9._/-]{0,100})?[^/]\Z",
            description="Address of GitHub's API; another for a GitHub of your own.",
        ),
    ] = "https://api.github.com"
    max_bytes: Annotated[int, Meta(ge=1024, le=26_214_400, description="Largest delivery in bytes.")] = 1_048_576

    @property
    def old_until(self) -> datetime | None:
        """The moment at which old secrets end."""
        if not self.old_secrets_until:
            return None
        return datetime.combine(date.fromisoformat(self.old_secrets_until) + timedelta(days=1), time(), UTC)
