"""The service that plugins call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from msgspec.structs import replace

from luminai import Actor, ChatReply, ChatRequest, EmbeddingReply, End, EndState, Health, HealthState, MediaReply, PluginContext, StreamEvent, Usage
from luminai_ai_gateway.account import NOTHING, Account, prompt_tokens, tokens_of
from luminai_ai_gateway.admission import check_actor, check_chat, check_image, check_speech, check_suits, check_texts, unsuited
from luminai_ai_gateway.calls import Call, ChatCall, EmbeddingCall, ImageCall, SpeechCall
from luminai_ai_gateway.catalogue import Catalogue, GatewayModel, Plan, Target
from luminai_ai_gateway.config import GatewayConfig
from luminai_ai_gateway.gathered import Gathered
from luminai_ai_gateway.kept import KeptReplies, KeptReply, kept_of
from luminai_ai_gateway.places import Places
from luminai_ai_gateway.prices import Prices
from luminai_ai_gateway.pricing import quantities_of
from luminai_ai_gateway.record import Entry, Outcome, Records
from luminai_ai_gateway.replies import Asked, Replies
from luminai_ai_gateway.running import SLICE, Running
from luminai_ai_gateway.tries import Tries
from luminai_ai_gateway.whole import Verdict, answer_of, judge_media, judge_vectors

T = TypeVar("T", EmbeddingReply, MediaReply)
AHEAD: Final = 4 * SLICE
"""Tokens of a reply that may be held for at once."""


class Gateway:
    """Calls to models: admitted, held for, run over a route, recorded, settled.

    All calls raise, before anything is generated, and leave nothing held or charged:
        Forbidden: the actor lacks ``ai-gateway:use`` (code ``ai-gateway.scope``).
        Unprocessable: ``ai-gateway.unknown-model``, ``ai-gateway.unknown-provider``; ``ai-gateway.wrong-kind`` for a model that does something else;
            ``ai-gateway.no-tools``; ``ai-gateway.bad-tool-schema`` and ``ai-gateway.bad-response-schema`` with every finding; ``ai-gateway.refused``
            when every provider calls the request invalid.
        InvalidInput: ``ai-gateway.bad-text`` for what is no text, ``ai-gateway.empty``, ``ai-gateway.nothing-to-call`` where a tool has to be called
            and none is sent.
        TooLarge: ``ai-gateway.prompt-too-large``.
        Conflict: the key stands for a call that runs or gave something (``ai-gateway.key-used``).
        RateLimited: too many calls of this person at once (``ai-gateway.too-many-calls``), or every provider's rate or quota is spent
            (``ai-gateway.provider-rate``, ``ai-gateway.provider-quota``), with ``retry_after``.
        Unavailable: no place within the time that a call may wait (``ai-gateway.busy``); no provider of the route runs (``ai-gateway.no-provider``);
            all of them rest after failures (``ai-gateway.resting``).
        Upstream: ``ai-gateway.provider-auth``, ``ai-gateway.provider-upstream``, and finer where known: ``ai-gateway.error-in-answer`` for an error
            under the status 200, ``ai-gateway.unreadable`` for what is no UTF-8 or not of the dialect, ``ai-gateway.cut``.
        DeadlineExceeded: ``ai-gateway.provider-timeout``.
        PaymentRequired, RateLimited, Forbidden, Unavailable: as ``Metering.hold``.
    """

    def __init__(self, ctx: PluginContext, prices: Prices) -> None:
        self._ctx = ctx
        self._config: GatewayConfig = ctx.config
        self._places = Places(ctx.config)
        self._kept = KeptReplies(ctx)
        self.records = Records(ctx, prices)
        self.catalogue = Catalogue(ctx)
        self.replies = Replies(ctx, self.catalogue)

    def models(self, actor: Actor | None = None) -> Sequence[GatewayModel]:  # noqa: ARG002 - part of the face
        """Return what may be asked for: the routes in the order of the settings, then every exposed ``<provider>/<model>``.

        ``actor``: for whom; all who may call see the same today.
        """
        return self.catalogue.models()

    def model(self, name: str) -> GatewayModel:
        """Return one of them by name or alias. Raises Unprocessable as the calls do."""
        return self.catalogue.model(name)

    async def stream(self, call: ChatCall) -> AsyncGenerator[StreamEvent, None]:
        """Yield the reply as it comes, and exactly one ``End`` with usage and ``trace`` at last.

        Use it with ``contextlib.aclosing``: closing it, or cancelling the task, hangs up on the provider at once, and what was generated so far is
        recorded and settled as ``cancelled``. Errors are raised at the first step, before any event; what goes wrong later is an ``End`` with
        ``cut``, ``stalled`` or ``failed``, a ``code`` and a reason. A ``Seam`` tells that another model goes on.
        """
        account = Account()
        call, plan, size = self._admit(call)
        if (kept := await self._kept.find(call, plan)) is not None:
            await self._give_kept(call, plan, account, kept)
            for event in kept.events():
                yield event
            yield End(state=EndState.FINISHED, usage=NOTHING, covered=kept.covered, trace=account.trace())
            return
        async with self._chat_running(call, plan, account) as running:
            grow = running.grow if running.grows and not _is_held_whole(call.request) else None
            asked = Asked(plan=plan, request=call.request, account=account, characters=size, grow=grow)
            gathered = Gathered()
            async with aclosing(self.replies.stream(asked)) as events:
                async for event in events:
                    if not isinstance(event, End):
                        gathered.take(event)
                        yield event
                        continue
                    await self._keep(call, plan, account, gathered.reply(event))
                    await running.end(event.state, usage=event.usage, code=event.code, reason=event.reason)
                    yield replace(event, trace=account.trace())

    async def chat(self, call: ChatCall) -> ChatReply:
        """Return the whole reply with its ``trace``; one that broke off and that no other model could give has its honest ``end``.

        Raises:
            Upstream: besides the above, the reply does not keep to the schema, also after one repair (``ai-gateway.schema-mismatch``), or calls no
                tool where it has to (``ai-gateway.no-tool-called``).
        """
        account = Account()
        call, plan, size = self._admit(call)
        if (kept := await self._kept.find(call, plan)) is not None:
            await self._give_kept(call, plan, account, kept)
            reply = ChatReply(text=kept.text, end=EndState.FINISHED, usage=NOTHING, sources=kept.sources, tool_calls=kept.tool_calls)
            return replace(reply, covered=kept.covered, trace=account.trace())
        async with self._chat_running(call, plan, account) as running:
            grow = running.grow if running.grows and not _is_held_whole(call.request) else None
            reply = await self.replies.whole(Asked(plan=plan, request=call.request, account=account, characters=size, grow=grow))
            await self._keep(call, plan, account, reply)
            await running.end(reply.end, usage=reply.usage)
        return replace(reply, trace=account.trace())

    async def embed(self, call: EmbeddingCall) -> EmbeddingReply:
        """Return one vector a text, in order."""
        check_actor(call.actor)
        check_texts(call, self._config)
        tokens = sum(tokens_of(len(text.encode(errors="replace"))) for text in call.texts)

        def ask(target: Target, seconds: float) -> Awaitable[EmbeddingReply]:
            return target.provider.embed(target.model.id, call.texts, timeout=seconds)

        def used(usage: Usage | None) -> Mapping[str, int]:
            return {"input_tokens": usage.input_tokens if usage is not None else tokens, "texts": len(call.texts)}

        quantities = {"input_tokens": tokens, "texts": len(call.texts)}
        return await self._made(call, "embedding", quantities, ask, lambda reply: judge_vectors(reply, call.texts), used)

    async def image(self, call: ImageCall) -> MediaReply:
        """Return a picture."""
        check_actor(call.actor)
        check_image(call, self._config)

        def ask(target: Target, seconds: float) -> Awaitable[MediaReply]:
            return target.provider.image(target.model.id, call.prompt, width=call.width, height=call.height, timeout=seconds)

        quantities = {"images": 1, "pixels": call.width * call.height}
        return await self._made(call, "image", quantities, ask, lambda reply: judge_media(reply, "image"), lambda _: quantities)

    async def speak(self, call: SpeechCall) -> MediaReply:
        """Return speech."""
        check_actor(call.actor)
        quantities = {"characters": check_speech(call, self._config)}

        def ask(target: Target, seconds: float) -> Awaitable[MediaReply]:
            return target.provider.speak(target.model.id, call.text, voice=call.voice, timeout=seconds)

        return await self._made(call, "speech", quantities, ask, lambda reply: judge_media(reply, "audio"), lambda _: quantities)

    async def reconcile(self, subject: str, call: str, usage: Usage) -> None:
        """Replace an estimated usage of a subject's call by one that was reported later; its cost is counted anew, its charge stays.

        Raises:
            NotFound: there is no such call (``ai-gateway.call-not-found``).
            Conflict: it runs, or its usage was reported before (``ai-gateway.reported``).
        """
        await self.records.reconcile(subject, call, usage)

    @property
    def running(self) -> int:
        """How many calls run."""
        return self._places.taken

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return self._places.waiting

    async def health(self) -> Health:
        """Degraded while a route leads nowhere; without routes there is nothing to tell."""
        nowhere = [route.name for route in self.catalogue.routes if not any(self.catalogue.find(full) for full in route.models)]
        return Health(HealthState.DEGRADED, f"no model is there for {', '.join(nowhere)[:300]}") if nowhere else Health(HealthState.OK)

    def _admit(self, call: ChatCall) -> tuple[ChatCall, Plan, int]:
        """Return a chat as it will be made, what it does, and the characters of its input."""
        check_actor(call.actor)
        size = check_chat(call, self._config)
        plan = self.catalogue.plan(call.model, "chat")
        check_suits([target for name in plan.chain if (target := self.catalogue.find(name)) is not None], call.request, size)
        return replace(call, request=self.replies.bounded(call.request)), plan, size

    def _chat_running(self, call: ChatCall, plan: Plan, account: Account) -> Running:
        first = call.request.max_output_tokens if _is_held_whole(call.request) else SLICE
        tokens = prompt_tokens(call.request)

        def used(usage: Usage | None) -> Mapping[str, int]:
            return quantities_of(usage) if usage is not None else {}

        quantities = {"input_tokens": tokens, "output_tokens": first or SLICE}
        entry = self._entry(call, "chat", plan, min(call.request.timeout, plan.handling.total_seconds), call.prompt_version)
        return Running(self._ctx, self._places, self.records, entry, account, quantities=quantities, used=used)

    async def _made(
        self,
        call: Call,
        kind: str,
        quantities: Mapping[str, int],
        ask: Callable[[Target, float], Awaitable[T]],
        judge: Callable[[T], Verdict],
        used: Callable[[Usage | None], Mapping[str, int]],
    ) -> T:
        """Return an answer that is no chat, with its ``trace``."""
        plan, account = self.catalogue.plan(call.model, kind), Account()
        seconds = plan.handling.total_seconds
        running = Running(self._ctx, self._places, self.records, self._entry(call, kind, plan, seconds), account, quantities=quantities, used=used)
        async with running:
            tries = Tries(self.catalogue, plan, account, seconds, lambda target: unsuited(target, kind, None, 0))
            _, answer, _ = await answer_of(tries, account, ask, judge)
            await running.end(EndState.FINISHED, usage=answer.usage)
        return replace(answer, trace=account.trace())

    async def _keep(self, call: ChatCall, plan: Plan, account: Account, reply: ChatReply) -> None:
        if await self._kept.keep(call, plan, kept_of(account.model, reply, account.enforced)):
            account.cache = "kept"

    async def _give_kept(self, call: ChatCall, plan: Plan, account: Account, kept: KeptReply) -> None:
        """Record that a kept reply is given: nothing was generated, and nothing is to be paid."""
        entry = self._entry(call, "chat", plan, 0.0, call.prompt_version)
        account.call, account.cache, account.enforced = entry.id, "hit", kept.enforced
        account.first = account.queue = account.now()
        outcome = Outcome(state=EndState.FINISHED, model=kept.model, has_content=True, trace=account.trace())
        await self.records.note(entry, outcome)

    def _entry(self, call: Call, kind: str, plan: Plan, seconds: float, prompt_version: str = "") -> Entry:
        return Entry(
            id=self._ctx.new_id("call"),
            subject=call.actor.subject,
            kind=kind,
            name=call.model[:240],
            chain=plan.chain,
            at=self._ctx.clock.now(),
            seconds=seconds + self._config.waiting_seconds,
            key=call.key,
            origin=call.origin[:40],
            prompt_version=prompt_version[:80],
        )


def _is_held_whole(request: ChatRequest) -> bool:
    """Tell whether all that a reply may have is held for at once; a longer one is held for in slices, as it grows."""
    return request.max_output_tokens is not None and request.max_output_tokens <= AHEAD
