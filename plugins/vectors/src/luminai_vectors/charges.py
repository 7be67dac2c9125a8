"""What it costs to embed a person's texts, where something meters: held before, settled by what was used, given back where the model failed.

What belongs to the hub (``SHARED``) is nobody's to pay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from luminai import AIError, AIErrorKind, EmbeddingReply, PluginContext, Work, WorkFailure
from luminai_vectors.contract import SHARED

ACTION: Final = "vectors.embedding"
BYTES_A_TOKEN: Final = 2
"""Fewer than a token has in any text that people write: what is held is enough, and what is charged is what the model says."""
SPARE_SECONDS: Final = 60.0


async def charged(
    ctx: PluginContext, payer: str, model: str, texts: Sequence[str], ask: Callable[[], Awaitable[EmbeddingReply]], *, timeout: float
) -> EmbeddingReply:
    """Return what ``ask`` gives, paid for by ``payer``. Raises as ``ask``, and before it as ``Metering.hold``."""
    if payer in ("", SHARED) or not ctx.metering.is_on:
        return await ask()
    size = sum(len(text.encode(errors="replace")) for text in texts)
    quantities = {"input_tokens": -(-size // BYTES_A_TOKEN), "texts": len(texts)}
    work = Work(action=ACTION, key=ctx.new_id("embedding"), subject=payer, model=model[:200], quantities=quantities, lease=timeout + SPARE_SECONDS)
    db = ctx.db.as_subject(payer)
    held = await db.write(lambda session: ctx.metering.hold(session, work))
    if held is None:
        return await ask()
    try:
        reply = await ask()
    except BaseException as error:
        failure = _failure(error)
        await asyncio.shield(ctx.spawn(db.write(lambda session: ctx.metering.release(session, held, failure)), name=f"release {work.key}"))
        raise
    used = {"input_tokens": reply.usage.input_tokens, "texts": len(texts)}
    await asyncio.shield(ctx.spawn(db.write(lambda session: ctx.metering.settle(session, held, used)), name=f"settle {work.key}"))
    return reply


def _failure(error: BaseException) -> WorkFailure:
    if isinstance(error, asyncio.CancelledError):
        return WorkFailure.ABORTED
    kind = error.kind if isinstance(error, AIError) else None
    return {AIErrorKind.TIMEOUT: WorkFailure.TIMEOUT, AIErrorKind.INVALID: WorkFailure.INVALID_INPUT}.get(kind, WorkFailure.PROVIDER)  # type: ignore[arg-type]
