"""One answer that is given whole, over a chain of models: a reply, vectors, a picture, speech."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from luminai import AIErrorKind, ChatReply, ChatRequest, EmbeddingReply, End, EndState, MediaReply, Usage
from luminai_ai_gateway.account import Account, bytes_of, sound_usage
from luminai_ai_gateway.catalogue import Target
from luminai_ai_gateway.failures import BROKEN, Failure, failure_of, failure_of_end, uncalled
from luminai_ai_gateway.tries import Tries

T = TypeVar("T")
MAX_MEDIA: Final = 67_108_864


class Verdict(Struct, frozen=True, kw_only=True):
    """What an answer is. ``failure``: another model had better answer; ``size`` is what it holds all the same, in bytes."""

    state: EndState = EndState.FINISHED
    usage: Usage | None = None
    size: int = 0
    code: str = ""
    failure: Failure | None = None


async def answer_of(
    tries: Tries, account: Account, ask: Callable[[Target, float], Awaitable[T]], judge: Callable[[T], Verdict]
) -> tuple[Target, T, Verdict]:
    """Return the first good answer, who gave it, and what it is. One that broke off is given when there is no better: nobody has read it yet.

    Args:
        ask: Asks one model, within so many seconds.

    Raises:
        Exhausted: there is none, not even half of one.
    """
    half: tuple[Target, T, Verdict] | None = None
    while (target := await tries.next()) is not None:
        attempt = account.attempt(target.name)
        try:
            answer = await ask(target, tries.share)
        except BaseException as error:
            account.waited += account.now() - attempt.began
            if not isinstance(error, Exception):
                account.end(attempt, EndState.CANCELLED, counts=False)
                raise
            failure = failure_of(error)
            account.end(attempt, None, code=failure.code, counts=False)
            tries.failed(target, failure)
            continue
        account.waited += account.now() - attempt.began
        verdict = judge(answer)
        if verdict.size or verdict.failure is None:
            account.void()
            account.content(attempt, verdict.size, account.now())
        account.end(attempt, verdict.state, verdict.usage, code=verdict.code, counts=bool(verdict.size) or verdict.failure is None)
        if verdict.failure is None:
            return target, answer, verdict
        tries.failed(target, verdict.failure)
        if verdict.size:
            half = target, answer, verdict
    if half is None:
        raise tries.exhausted()
    return half


def judge_reply(reply: ChatReply, request: ChatRequest) -> Verdict:
    """Tell what a reply is."""
    size = bytes_of(reply.text) + sum(len(call.arguments) or 1 for call in reply.tool_calls)
    usage, code = sound_usage(reply.usage, request, size)
    if (failure := uncalled(request, reply.end, calls_tools=bool(reply.tool_calls))) is not None:
        return Verdict(state=EndState.FAILED, usage=usage, code=failure.code, failure=failure)  # words in its place are no answer
    failure = failure_of_end(End(state=reply.end)) if reply.end in BROKEN else None
    return Verdict(state=reply.end, usage=usage, size=size, code=code, failure=failure)


def judge_vectors(reply: EmbeddingReply, texts: Sequence[str]) -> Verdict:
    """Tell whether there is one vector a text, all of one length."""
    lengths = {len(vector) for vector in reply.vectors}
    if len(reply.vectors) != len(texts) or len(lengths) != 1 or 0 in lengths:
        return _refused("wrong-vectors", "the provider answered with other vectors than were asked for")
    usage, code = sound_usage(reply.usage, ChatRequest(model="", messages=()), 0)
    return Verdict(usage=usage, size=1, code=code)


def judge_media(reply: MediaReply, kind: str) -> Verdict:
    """Tell whether there is a picture (``image``) or sound (``audio``)."""
    if not reply.content or len(reply.content) > MAX_MEDIA or not reply.content_type.startswith(f"{kind}/"):
        return _refused(f"not-{kind}", f"the provider answered with something else than {kind}")
    return Verdict(usage=reply.usage, size=len(reply.content))


def _refused(code: str, reason: str) -> Verdict:
    return Verdict(state=EndState.FAILED, code=code, failure=Failure(kind=AIErrorKind.UPSTREAM, code=code, reason=reason))
