"""The books as a Beancount file (https://beancount.github.io/docs/beancount_language_syntax.html): for auditors and their tools.

Only what was settled is there, for Beancount knows no holds. A debit is positive, as everywhere in Beancount.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import select

from luminai import PluginContext
from luminai_ledger.assets import format_amount
from luminai_ledger.models import accounts, assets, transfers
from luminai_ledger.moments import moment
from luminai_ledger.reading import wire

_ROOTS: Final = {0: "Equity", 1: "Liabilities", 2: "Assets"}
_NO_PART: Final = re.compile(r"[^A-Za-z0-9-]+")
_LONGEST: Final = 24
_CHUNK: Final = 200
"""Entries that are sent at once."""


async def beancount(ctx: PluginContext) -> AsyncIterator[bytes]:
    """Yield the whole books: commodities, accounts, every journal in its order, and at the end what each account must hold."""
    names: dict[bytes, tuple[str, str, int]] = {}
    totals: dict[bytes, int] = {}
    yield b'option "title" "LuminAI Hub ledger"\n\n'
    waiting: list[str] = []
    commodities: set[str] = set()
    async for row in ctx.db.as_system().stream(select(accounts, assets.c.exponent).join(assets).order_by(accounts.c.id)):
        code, exponent = commodity(row.asset), row.exponent
        name = account_name(row)
        opened = moment(row.opened_at).date()
        if code not in commodities:
            commodities.add(code)
            waiting.append(f'1970-01-01 commodity {code}\n  asset: "{row.asset}"\n  precision: {exponent}\n')
        names[bytes(row.id)] = (name, code, exponent)
        waiting.append(f'{opened} open {name} {code}\n  account: "{wire("acc", row.id)}"\n  purpose: "{_quoted(row.purpose)}"\n')
        if len(waiting) >= _CHUNK:
            yield _joined(waiting)
    last = date(1970, 1, 1)
    posted = select(transfers).where(transfers.c.kind.in_((0, 2))).order_by(transfers.c.seq)
    async for row in ctx.db.as_system().stream(posted):
        debit, credit = bytes(row.debit), bytes(row.credit)
        if debit not in names or credit not in names:  # opened after the accounts were listed: the next export has it
            continue
        totals[debit], totals[credit] = totals.get(debit, 0) + row.amount, totals.get(credit, 0) - row.amount
        day = moment(row.at).date()
        last = max(last, day)
        waiting.append(_entry(row, day, names[debit], names[credit]))
        if len(waiting) >= _CHUNK:
            yield _joined(waiting)
    for identity, total in totals.items():
        name, code, exponent = names[identity]
        waiting.append(f"{last + timedelta(days=1)} balance {name} {format_amount(total, exponent)} {code}\n")
    if waiting:
        yield _joined(waiting)


def commodity(asset: str) -> str:
    """Return Beancount's word for an asset: at most 24 characters, the last of them a letter or digit."""
    if len(asset) <= _LONGEST and asset[-1] != "_":
        return asset
    return f"{asset[:15]}X{sha256(asset.encode()).hexdigest()[:8].upper()}"


def account_name(row: Any) -> str:
    """Return Beancount's name of an account; its id makes it the only one."""
    purpose = _NO_PART.sub("-", row.purpose).strip("-") or "Account"
    return f"{_ROOTS[row.guard]}:{purpose[:1].upper()}{purpose[1:]}:A{bytes(row.id).hex()}"


def _entry(row: Any, day: date, debit: tuple[str, str, int], credit: tuple[str, str, int]) -> str:
    amount, code = format_amount(row.amount, debit[2]), debit[1]
    head = f'{day} * "{_quoted(row.code)}" "{_quoted(row.reference)}"\n  transfer: "{wire("trf", row.id)}"\n  journal: "{wire("trf", row.journal)}"\n'
    return f"{head}  {debit[0]}  {amount} {code}\n  {credit[0]}  -{amount} {code}\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _joined(waiting: list[str]) -> bytes:
    text = "\n".join(waiting) + "\n"
    waiting.clear()
    return text.encode()
