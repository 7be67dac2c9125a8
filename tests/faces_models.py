"""A model service that speaks OpenAI's API and does what the last message says, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ai_service import HANG, Asked, Service, Step, head, service, sse, whole

WORDS = ("Hello", " from", " the", " model.")
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def answer(asked: Asked) -> Sequence[Step]:
    """Answer: `weather` calls the first tool, and so does who has to, save for `refuse`; `schema` writes JSON, `break` breaks off, `stall` falls
    silent, `slow` is silent first.
    """
    if asked.path == "/v1/embeddings":
        rows = [{"index": place, "embedding": [0.5, -0.25, float(len(text))]} for place, text in enumerate(asked.body["input"])]
        return whole({"data": rows, "usage": {"prompt_tokens": 3}})
    last = asked.body["messages"][-1]
    said = str(last["content"])
    words: Sequence[str] = WORDS
    delta: dict[str, Any] = {}
    reason = "length" if "long" in said else "stop"
    if last["role"] == "tool":
        words = (f"The tool said {said}", f" to {last['tool_call_id']}.")
    elif "weather" in said or (asked.body.get("tool_choice") == "required" and "refuse" not in said):
        function = {"name": asked.body["tools"][0]["function"]["name"], "arguments": '{"city": "Oslo"}'}
        words, reason = (), "tool_calls"
        delta = {"tool_calls": [{"index": 0, "id": "call_oslo", "type": "function", "function": function}]}
    elif "schema" in said:
        words = ('{"n": ', "7}")
    elif "sums" in said:
        words = (json.dumps(asked.body.get("temperature")), " ", json.dumps(asked.body.get("max_tokens")))
    breaks = "break" in said
    if asked.body.get("stream"):
        pieces = sse(*({"choices": [{"index": 0, "delta": {"content": word}}]} for word in words))
        if breaks:
            return [*head(kind="text/event-stream"), *pieces[:2]]
        if "stall" in said:
            return [*head(kind="text/event-stream"), *pieces[:2], HANG]
        end = sse({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}, {"choices": [], "usage": USAGE}, "[DONE]")
        return [*head(kind="text/event-stream"), *([0.6] if "slow" in said else []), *pieces, *end]
    message = {"role": "assistant", "content": "".join(words) or None, **delta}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": USAGE}).encode()
    return [*head(Content_Length=str(len(body))), body[:-9]] if breaks else whole(body)


@contextmanager
def model_service() -> Iterator[Service]:
    """Run the service beside a test that blocks."""
    up, there = threading.Event(), []

    async def run() -> None:
        async with service() as one:
            one.answer = answer
            there.extend([one, asyncio.get_running_loop(), asyncio.current_task()])
            up.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    up.wait()
    found, loop, task = there
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


FIRST, REST = "The tower stands on", " a rock."


def broken_off(asked: Asked) -> Sequence[Step]:
    """Answer with `FIRST` and break off; with `REST` behind it; the model `spare` ends well."""
    is_more = any(one["role"] == "assistant" for one in asked.body["messages"])
    piece = sse({"choices": [{"index": 0, "delta": {"content": REST if is_more else FIRST}}]})
    end = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]")
    return [*head(kind="text/event-stream"), *piece, *(end if is_more or asked.body["model"] == "spare" else ())]
