"""Conversations: the service that opens turns, for plugins that show a chat of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luminai_chat.schemas import ChatAnswer, ChatAsk
    from luminai_chat.service import Chat

__all__ = ["Chat", "ChatAnswer", "ChatAsk"]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module("luminai_chat.service" if name == "Chat" else "luminai_chat.schemas"), name)
