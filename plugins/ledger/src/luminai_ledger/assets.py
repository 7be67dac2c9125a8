"""Assets: what is counted, in which smallest unit. Amounts in text become whole minor units here and nowhere else."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from luminai import ConfigRejected, InvalidInput, Money, Unprocessable
from luminai_ledger.models import assets

ASSETS_POINT: Final = "ledger.assets/1"
"""Extension point: plugins put ``Asset`` values there."""
MAX_MINOR: Final = 2**53 - 1
_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,16}))?")

AssetCode = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z")]


class Asset(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Something that is counted: a currency (ISO 4217), a credit, a limit, a quota.

    Attributes:
        exponent: Decimal places of its unit: JPY 0, EUR 2, BHD 3, credits 0. It never changes.
    """

    code: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z", description="Such as LUMIKU_CREDIT.", examples=["LUMIKU_CREDIT"])]
    exponent: Annotated[int, Meta(ge=0, le=8, description="Decimal places; it can never be changed.")] = 0
    title: Annotated[str, Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z", description="For people.")] = ""


@cache
def currencies() -> dict[str, Asset]:
    """Return the currencies of ISO 4217 that have a minor unit or need none (list of 1 January 2025), by code."""
    table: dict[str, Any] = tomllib.loads(files("luminai_ledger").joinpath("currencies.toml").read_text())
    return {code: Asset(code=code, exponent=int(exponent)) for exponent, codes in table["exponents"].items() for code in codes.split()}


def define(session: Session, asset: Asset) -> None:
    """Add an asset, or give one that is there another title.

    Raises:
        Unprocessable: it is there with another exponent (code ``ledger.asset-differs``).
    """
    row = session.execute(select(assets).where(assets.c.code == asset.code)).first()
    if row is None:
        session.execute(insert(assets).values(code=asset.code, exponent=asset.exponent, title=asset.title))
    elif row.exponent != asset.exponent:
        hint = "Amounts that are stored would change their meaning: take another code."
        raise Unprocessable(f"{asset.code} has {row.exponent} decimals, not {asset.exponent}.", code="ledger.asset-differs", hint=hint)
    elif asset.title and row.title != asset.title:
        session.execute(update(assets).where(assets.c.code == asset.code).values(title=asset.title))


def merged(*groups: Any) -> list[Asset]:
    """Return the assets of all groups by code, each once.

    Raises:
        ConfigRejected: two name one code with different exponents.
    """
    found: dict[str, Asset] = {}
    for asset in (asset for group in groups for asset in group):
        known = found.get(asset.code)
        if known is not None and known.exponent != asset.exponent:
            raise ConfigRejected(f"{asset.code} is declared with {known.exponent} and with {asset.exponent} decimals.", hint="Take another code.")
        found[asset.code] = asset if known is None or asset.title else known
    return list(found.values())


def parse_amount(text: str, asset: Asset) -> Money:
    """Return the amount that a decimal text means, such as ``"12.50"``: exactly, never rounded.

    Raises:
        InvalidInput: it is no such text, has more decimals than the asset, or is too large (code ``ledger.bad-amount``).
    """
    found = _AMOUNT.fullmatch(text)
    decimals = (found[3] or "") if found else ""
    if found is None or len(decimals) > asset.exponent:
        hint = f"Digits with at most {asset.exponent} decimals." if asset.exponent else "A whole number."
        raise InvalidInput(f"This is no amount of {asset.code}.", code="ledger.bad-amount", hint=hint)
    minor = int(found[2] + decimals.ljust(asset.exponent, "0"))
    if minor > MAX_MINOR:
        raise InvalidInput(f"This is more {asset.code} than can be counted.", code="ledger.bad-amount", hint=f"At most {MAX_MINOR} minor units.")
    return Money(-minor if found[1] else minor, asset.code)


def format_amount(minor: int, exponent: int) -> str:
    """Return minor units as decimal text with all their decimals, such as ``"12.50"``."""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"
