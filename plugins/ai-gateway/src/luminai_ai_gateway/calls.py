"""What the gateway is asked to do."""

from __future__ import annotations

from msgspec import Struct

from luminai import Actor, ChatRequest


class Call(Struct, frozen=True, kw_only=True):
    """What all calls have.

    Attributes:
        actor: Who calls; its subject pays and owns the record. It needs the scope ``ai-gateway:use``.
        model: Name or alias of a route, or ``<provider>/<model>``.
        key: The client's ``Idempotency-Key``, "" without one: while a call with it runs or once it gave something, no other is made with it.
        origin: Which surface the call came by, such as ``openai`` or ``jobs.summary``; at most 40 characters.
    """

    actor: Actor
    model: str
    key: str = ""
    origin: str = ""


class ChatCall(Call, frozen=True, kw_only=True):
    """A chat, streamed or whole.

    Attributes:
        request: Its ``model`` is overwritten with the one that is asked, and its ``timeout`` only shortens the route's.
        prompt_version: Version of the instructions in it, for the cache; at most 80 characters.
    """

    request: ChatRequest
    prompt_version: str = ""


class EmbeddingCall(Call, frozen=True, kw_only=True):
    """One vector for each text."""

    texts: tuple[str, ...]


class ImageCall(Call, frozen=True, kw_only=True):
    """A picture of ``width`` times ``height`` pixels."""

    prompt: str
    width: int = 1024
    height: int = 1024


class SpeechCall(Call, frozen=True, kw_only=True):
    """Text spoken by ``voice``, the provider's own where it is ""."""

    text: str
    voice: str = ""
