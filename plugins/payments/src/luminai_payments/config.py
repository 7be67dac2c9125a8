"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", max_length=40)]
Asset = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z")]
Kind = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
Purpose = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}\Z")]
Product = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,119}\Z")]


class RouteRule(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Sends what fits to a provider; an empty list fits everything."""

    provider: Annotated[Name, Meta(description="Provider that takes what fits.", examples=["sandbox"])]
    assets: Annotated[tuple[Asset, ...], Meta(max_length=64, description="Assets.")] = ()
    kinds: Annotated[tuple[Kind, ...], Meta(max_length=16, description="Kinds of method, such as card or bank.")] = ()
    countries: Annotated[tuple[Country, ...], Meta(max_length=250, description="Countries of the payer, as two letters.")] = ()


class Offer(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A product with a fixed price."""

    purpose: Annotated[Purpose, Meta(description="What it is bought for, such as pack.", examples=["pack"])]
    product: Annotated[Product, Meta(description="Its name.", examples=["lumiku/small"])]
    amount: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Price in minor units.")]
    asset: Annotated[Asset, Meta(description="Asset of the price.", examples=["EUR"])]


class PaymentsConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.payments.config]``."""

    providers: Annotated[
        tuple[Name, ...], Meta(min_length=1, max_length=8, description="Providers that are used, best first; each gets a webhook of its name.")
    ] = ("sandbox",)
    routes: Annotated[tuple[RouteRule, ...], Meta(max_length=64, description="Which provider takes what; the first that fits decides.")] = ()
    offers: Annotated[tuple[Offer, ...], Meta(max_length=500, description="Products with a fixed price, beside those that plugins offer.")] = ()
    charge_purposes: Annotated[
        tuple[Purpose, ...], Meta(max_length=32, description="For what a person may pay an amount of one's own choice; empty for nothing.")
    ] = ("deposit",)
    max_amount: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Largest payment in minor units.")] = 1_000_000_00
    call_seconds: Annotated[float, Meta(ge=1, le=120, description="Deadline of a call to a provider; after it the outcome is unknown.")] = 30.0
    give_up_minutes: Annotated[
        int, Meta(ge=5, le=1440, description="How long an effect that the provider does not know may still be on its way.")
    ] = 15
