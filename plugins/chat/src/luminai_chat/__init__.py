"""Conversations: the service that opens turns, for plugins that show a chat of their own, what ``guard.turn`` decides on (``Subject``), and what
plugins put into turns.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from luminai_chat.admission import Subject
    from luminai_chat.extension import ChatTool, ContextItem, ContextSource
    from luminai_chat.schemas import ChatAnswer, ChatAsk
    from luminai_chat.service import Chat

__all__ = ["Chat", "ChatAnswer", "ChatAsk", "ChatTool", "ContextItem", "ContextSource", "Subject"]
_MODULES: Final = {"Chat": "service", "ChatAnswer": "schemas", "ChatAsk": "schemas", "Subject": "admission"}


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the database
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"luminai_chat.{_MODULES.get(name, 'extension')}"), name)
