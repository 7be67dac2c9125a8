"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai_ledger.assets import Asset


class LedgerConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ledger.config]``."""

    assets: Annotated[
        tuple[Asset, ...], Meta(max_length=1000, description="What is counted besides the currencies of ISO 4217: code, exponent, title.")
    ] = ()
    waiting: Annotated[int, Meta(ge=1, le=100_000, description="Transfers that may wait to be written; what comes beyond is answered 503.")] = 10_000
    sweep_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Seconds between two looks for holds whose lease ended.")] = 60
    seal_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Seconds after which new transfers are sealed into the audit log.")] = 300
