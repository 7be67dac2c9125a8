"""Credits, plans and quotas: ``ctx.service(Credits)``. Work that is paid for needs none of this, only ``ctx.metering``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luminai_credits.schemas import WalletView
    from luminai_credits.service import Credits

__all__ = ["Credits", "WalletView"]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module("luminai_credits.service" if name == "Credits" else "luminai_credits.schemas"), name)
