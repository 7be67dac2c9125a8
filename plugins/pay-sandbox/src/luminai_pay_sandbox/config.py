"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret

Asset = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}$")]


class PaySandboxConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.pay-sandbox.config]``."""

    assets: Annotated[tuple[Asset, ...], Meta(min_length=1, max_length=64, description="Assets that it takes.")] = ("EUR", "USD", "GBP", "JPY", "BHD")
    fee_basis_points: Annotated[int, Meta(ge=0, le=10_000, description="Fee of a captured amount in hundredths of a percent, rounded up.")] = 150
    webhook_url: Annotated[
        str,
        Meta(
            max_length=500,
            pattern=r"^(https?://[A-Za-z0-9.:_\[\]-]{1,255}(/[A-Za-z0-9._/-]{0,200})?)?$",
            description="Where webhooks are delivered, as http://127.0.0.1:8000/api/webhook/payments/sandbox; empty for nowhere.",
        ),
    ] = ""
    secrets: Annotated[
        tuple[Secret, ...], Meta(max_length=4, description="References to the webhook secret, newest first; empty for one made at the first start.")
    ] = ()
