"""A double-entry ledger for plugins that count something: ``ctx.service(Ledger)``."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_ledger.accounts import Account, Balance, Guard, account_id
    from luminai_ledger.assets import ASSETS_POINT, Asset, format_amount, parse_amount
    from luminai_ledger.journal import Hold, Journal, Outcome, Post, Result, Transfer, Void, transfer_id
    from luminai_ledger.reading import Line, OpenHold, TransferView
    from luminai_ledger.service import Ledger

_FACE: Final = {
    "accounts": ("Account", "Balance", "Guard", "account_id"),
    "assets": ("ASSETS_POINT", "Asset", "format_amount", "parse_amount"),
    "journal": ("Hold", "Journal", "Outcome", "Post", "Result", "Transfer", "Void", "transfer_id"),
    "reading": ("Line", "OpenHold", "TransferView"),
    "service": ("Ledger",),
}
_HOME: Final = {name: module for module, names in _FACE.items() for name in names}

__all__ = [
    "ASSETS_POINT",
    "Account",
    "Asset",
    "Balance",
    "Guard",
    "Hold",
    "Journal",
    "Ledger",
    "Line",
    "OpenHold",
    "Outcome",
    "Post",
    "Result",
    "Transfer",
    "TransferView",
    "Void",
    "account_id",
    "format_amount",
    "parse_amount",
    "transfer_id",
]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in _HOME:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"luminai_ledger.{_HOME[name]}"), name)
