"""Payments over any provider: ``ctx.service(Payments)``, the payloads of its events, the subjects of its decisions."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_payments.schemas import Captured, Charge, Checkout, Disputed, Failed, OfferAsk, PaymentAsk, PaymentView, Refund, Refunded
    from luminai_payments.service import Payments

_FACE: Final = {
    "schemas": ("Captured", "Charge", "Checkout", "Disputed", "Failed", "OfferAsk", "PaymentAsk", "PaymentView", "Refund", "Refunded"),
    "service": ("Payments",),
}
_HOME: Final = {name: module for module, names in _FACE.items() for name in names}

__all__ = ["Captured", "Charge", "Checkout", "Disputed", "Failed", "OfferAsk", "PaymentAsk", "PaymentView", "Payments", "Refund", "Refunded"]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in _HOME:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"luminai_payments.{_HOME[name]}"), name)
