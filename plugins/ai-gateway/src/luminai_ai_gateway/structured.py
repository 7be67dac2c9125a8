"""Replies that must keep to a schema: who sees to it, what a model is told, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from luminai import ChatMessage, ChatReply, ChatRequest, EndState, Model

ASKED: Final = "Answer with one JSON document that keeps to this JSON Schema, and with nothing else:\n"
REPAIR: Final = "Your reply does not keep to the JSON Schema: {}. Give the whole JSON document again, mended, and nothing else."
Enforced = Literal["", "provider", "hub", "asked"]


def asking(request: ChatRequest, model: Model) -> ChatRequest:
    """Return the request as a model is asked it: one that does not keep to schemas by itself is told the schema in words."""
    if request.response_schema is None or model.structured:
        return request
    told = ChatMessage("system", ASKED + msgspec.json.encode(request.response_schema).decode())
    return replace(request, messages=(told, *request.messages))


def repairing(request: ChatRequest, reply: ChatReply, wrong: Sequence[str]) -> ChatRequest:
    """Return the request to mend a reply."""
    more = (ChatMessage("assistant", reply.text), ChatMessage("user", REPAIR.format("; ".join(wrong)[:2000])))
    return replace(request, messages=(*request.messages, *more))


def can_be_judged(reply: ChatReply) -> bool:
    """Tell whether a reply is meant to keep to the schema: not one that asks for tools, or that did not come to its end."""
    return reply.end is EndState.FINISHED and not reply.tool_calls
