"""What a model wrote as the arguments of a call, for dialects that hand them on as an object."""

from __future__ import annotations

from typing import Any

import msgspec

from luminai import ToolCall, Upstream


def parsed(call: ToolCall) -> dict[str, Any]:
    """Return the arguments.

    Raises:
        Upstream: the model wrote no JSON object (code ``ai-faces.bad-arguments``).
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        detail = f"The model asked for {call.name[:80]!r} with arguments that are no JSON object."
        raise Upstream(detail, code="ai-faces.bad-arguments", hint="Ask again.", facts={"end_state": "failed"}) from error
    return found
