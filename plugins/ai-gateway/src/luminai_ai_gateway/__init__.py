"""AI models of all providers behind one face: ``ctx.service(Gateway)`` for calls that are admitted, paid for and recorded.

A plugin that pays for its work itself, as the chat does, uses the AI provider ``gateway`` instead: the same routes, nothing held or recorded.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_ai_gateway.calls import ChatCall, EmbeddingCall, ImageCall, SpeechCall
    from luminai_ai_gateway.catalogue import GatewayModel
    from luminai_ai_gateway.service import Gateway

__all__ = ["ChatCall", "EmbeddingCall", "Gateway", "GatewayModel", "ImageCall", "SpeechCall"]
_HOME: Final = {"Gateway": "service", "GatewayModel": "catalogue"}


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"luminai_ai_gateway.{_HOME.get(name, 'calls')}"), name)
