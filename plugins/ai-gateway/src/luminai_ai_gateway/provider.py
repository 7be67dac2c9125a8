"""The routes as models of an AI provider, for plugins that call models by the contract: nothing is held or recorded, their caller sees to that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from msgspec.structs import replace

from luminai import AIError, AIErrorKind, ChatReply, ChatRequest, EmbeddingReply, End, HubError, MediaReply, Model, StreamEvent
from luminai_ai_gateway.account import Account
from luminai_ai_gateway.admission import unsuited
from luminai_ai_gateway.catalogue import OWN, Catalogue, Plan, Target
from luminai_ai_gateway.failures import Exhausted, ai_error
from luminai_ai_gateway.replies import Asked, Replies
from luminai_ai_gateway.tries import Tries
from luminai_ai_gateway.whole import Verdict, answer_of, judge_media, judge_vectors

T = TypeVar("T")


class GatewayProvider:
    """Implements ``AIProvider``; its models are the routes by their names."""

    name = OWN
    title = "AI gateway"
    delegates = True

    def __init__(self, catalogue: Catalogue, replies: Replies) -> None:
        self._catalogue = catalogue
        self._replies = replies

    def models(self) -> Sequence[Model]:
        """Return the routes of which a model is there."""
        found = []
        for route in self._catalogue.routes:
            known = self._catalogue.model(route.name)
            first = next((target for full in route.models if (target := self._catalogue.find(full)) is not None), None)
            if first is not None:
                found.append(replace(first.model, id=route.name, kinds=known.kinds, title=known.title))
        return found

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the whole reply, with its trace."""
        account = Account()
        try:
            reply = await self._replies.whole(self._asked(request, account))
        except Exhausted as error:
            raise ai_error(error) from error
        return replace(reply, trace=account.trace())

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Yield the reply as it comes; its end has the trace."""
        account = Account()
        asked = self._asked(request, account)
        try:
            async with aclosing(self._replies.stream(asked)) as events:
                async for event in events:
                    yield replace(event, trace=account.trace()) if isinstance(event, End) else event
        except Exhausted as error:
            raise ai_error(error) from error

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        """Return one vector a text."""

        def ask(target: Target, seconds: float) -> Awaitable[EmbeddingReply]:
            return target.provider.embed(target.model.id, texts, timeout=seconds)

        return await self._made(model, "embedding", timeout, ask, lambda reply: judge_vectors(reply, texts))

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        """Return a picture."""

        def ask(target: Target, seconds: float) -> Awaitable[MediaReply]:
            return target.provider.image(target.model.id, prompt, width=width, height=height, timeout=seconds)

        return await self._made(model, "image", timeout, ask, lambda reply: judge_media(reply, "image"))

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        """Return speech."""

        def ask(target: Target, seconds: float) -> Awaitable[MediaReply]:
            return target.provider.speak(target.model.id, text, voice=voice, timeout=seconds)

        return await self._made(model, "speech", timeout, ask, lambda reply: judge_media(reply, "audio"))

    async def _made(self, model: str, kind: str, timeout: float, ask: Callable[[Target, float], Awaitable[T]], judge: Callable[[T], Verdict]) -> T:
        plan, account = self._plan(model, kind), Account()
        tries = Tries(self._catalogue, plan, account, timeout, lambda target: unsuited(target, kind, None, 0))
        try:
            _, answer, _ = await answer_of(tries, account, ask, judge)
        except Exhausted as error:
            raise ai_error(error) from error
        return answer

    def _asked(self, request: ChatRequest, account: Account) -> Asked:
        size = sum(len(one.content) for one in request.messages)
        return Asked(plan=self._plan(request.model, "chat"), request=self._replies.bounded(request), account=account, characters=size)

    def _plan(self, name: str, kind: str) -> Plan:
        try:
            return self._catalogue.route(name, kind)
        except HubError as error:
            raise AIError(AIErrorKind.INVALID, error.detail, code=error.code) from error
