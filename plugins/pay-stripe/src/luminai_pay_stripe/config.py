"""Settings of the plugin."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret

Asset = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
Kind = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Day = Annotated[
    str,
    Meta(pattern=r"^(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])))?$"),
]


class PayStripeConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.pay-stripe.config]``."""

    api_key: Annotated[Secret | None, Meta(description="Reference to a secret or restricted key; without one nothing can be paid.")] = None
    webhook_secrets: Annotated[tuple[Secret, ...], Meta(max_length=4, description="References to the webhook's signing secret, newest first.")] = ()
    old_secrets_until: Annotated[
        Day, Meta(description="Last day (UTC, as 2026-01-31) on which all webhook secrets but the first hold; empty for always.")
    ] = ""
    assets: Annotated[tuple[Asset, ...], Meta(min_length=1, max_length=140, description="Currencies that it takes.")] = ("EUR", "USD", "GBP")
    countries: Annotated[tuple[Country, ...], Meta(max_length=250, description="Countries of payers; empty for all.")] = ()
    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=16, description="Kinds of method, in Stripe's words.")] = ("card",)
    account_country: Annotated[Country, Meta(description="Country of connected accounts that name none.")] = "US"
    api: Annotated[
        str,
        Meta(pattern=r"^https?://[a-z0-9.:_\[\]-]{1,255}$", description="Address of Stripe's API; another one for tests."),
    ] = "https://api.stripe.com"

    @property
    def old_until(self) -> datetime | None:
        """The moment at which old secrets end."""
        if not self.old_secrets_until:
            return None
        return datetime.combine(date.fromisoformat(self.old_secrets_until) + timedelta(days=1), time(), UTC)
