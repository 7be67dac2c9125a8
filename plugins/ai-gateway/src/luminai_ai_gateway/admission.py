"""What a call must be before anybody is asked: each refusal has its own code, and costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from luminai import Actor, ChatRequest, Forbidden, InvalidInput, ProblemItem, TooLarge, Unprocessable
from luminai_ai_gateway.calls import ChatCall, EmbeddingCall, ImageCall, SpeechCall
from luminai_ai_gateway.catalogue import Target
from luminai_ai_gateway.config import GatewayConfig
from luminai_ai_gateway.schema import schema_problems

SCOPE: Final = "ai-gateway:use"
MAX_MESSAGES: Final = 2000
MAX_TOOLS: Final = 128
MAX_TEXTS: Final = 2048
SIDES: Final = (16, 8192)
_TOOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


def check_actor(actor: Actor) -> None:
    """Refuse who may not call models.

    Raises:
        Forbidden: the scope is missing.
    """
    if not actor.may(SCOPE):
        raise Forbidden(f"This credential may not call models: it lacks {SCOPE}.", code="ai-gateway.scope", hint="Use a key that has the scope.")


def check_chat(call: ChatCall, config: GatewayConfig) -> int:
    """Return the characters of a chat's input, all that a provider is sent.

    Raises:
        InvalidInput, TooLarge, Unprocessable: see ``Gateway``.
    """
    request = call.request
    if not request.messages:
        raise InvalidInput("There is no message.", code="ai-gateway.empty", hint="Send at least one.")
    if len(request.messages) > MAX_MESSAGES:
        raise TooLarge(f"A call has at most {MAX_MESSAGES} messages.", code="ai-gateway.prompt-too-large", hint="Send the newest ones.")
    texts = [text for one in request.messages for text in (one.content, *(each.arguments for each in one.tool_calls))]
    size = _check_texts(texts, config) + _check_tools(request)
    if request.response_schema is not None:
        _refuse_schema("response_schema", schema_problems(request.response_schema), "ai-gateway.bad-response-schema")
        size += len(msgspec.json.encode(request.response_schema))
    _check_size(size, config)
    return size


def check_texts(call: EmbeddingCall, config: GatewayConfig) -> int:
    """Return the characters of texts. Raises as ``check_chat``."""
    if not call.texts or not all(call.texts):
        raise InvalidInput("There is no text, or an empty one.", code="ai-gateway.empty", hint="Send at least one character each.")
    if len(call.texts) > MAX_TEXTS:
        raise TooLarge(f"A call has at most {MAX_TEXTS} texts.", code="ai-gateway.prompt-too-large", hint="Send them in several calls.")
    return _check_texts(call.texts, config)


def check_image(call: ImageCall, config: GatewayConfig) -> int:
    """Return the characters of a prompt. Raises as ``check_chat``, and InvalidInput for a size that no picture has (``ai-gateway.bad-size``)."""
    least, most = SIDES
    if not (least <= call.width <= most and least <= call.height <= most):
        raise InvalidInput(f"{call.width}x{call.height} is no size: {least} to {most} each.", code="ai-gateway.bad-size", hint="Ask for 1024x1024.")
    return _check_one(call.prompt, config)


def check_speech(call: SpeechCall, config: GatewayConfig) -> int:
    """Return the characters of a text. Raises as ``check_chat``."""
    if len(call.voice) > 200:
        raise InvalidInput("The name of the voice is too long.", code="ai-gateway.bad-voice", hint="Leave it out for the provider's own.")
    return _check_one(call.text, config)


def unsuited(target: Target, kind: str, request: ChatRequest | None, characters: int) -> str:
    """Return why a model cannot take a request, "" when it can."""
    model = target.model
    if kind not in model.kinds:
        return f"is no model for {kind}"
    if request is None:
        return ""
    if request.tools and not model.tools:
        return "calls no tools"
    # a token has 8 characters at the very most on average, so this only refuses what cannot fit by any count
    if model.context_tokens and characters > 8 * model.context_tokens:
        return f"takes {model.context_tokens} tokens"
    return ""


def check_suits(targets: Iterable[Target], request: ChatRequest, characters: int) -> None:
    """Refuse a request that none of the models that are there can take.

    Raises:
        Unprocessable: none calls tools (``ai-gateway.no-tools``).
        TooLarge: none takes so much.
    """
    why = [unsuited(target, "chat", request, characters) for target in targets]
    if not why or not all(why):
        return
    if any(one.startswith("takes ") for one in why):
        raise TooLarge(
            f"The prompt is too large: {why[-1]}.", code="ai-gateway.prompt-too-large", hint="Shorten it, or name a model that takes more."
        )
    if any("tools" in one for one in why):
        raise Unprocessable("This model calls no tools.", code="ai-gateway.no-tools", hint="Leave the tools out, or name another model.")


def _check_one(text: str, config: GatewayConfig) -> int:
    if not text.strip():
        raise InvalidInput("There is no text.", code="ai-gateway.empty", hint="Send some.")
    return _check_texts((text,), config)


def _check_texts(texts: Sequence[str], config: GatewayConfig) -> int:
    size = sum(map(len, texts))
    _check_size(size, config)
    if any(_NO_TEXT.search(text) for text in texts):
        raise InvalidInput("The input holds what is no text.", code="ai-gateway.bad-text", hint="Send Unicode text without zero bytes.")
    return size


def _check_size(size: int, config: GatewayConfig) -> None:
    if size > config.prompt_characters:
        most = config.prompt_characters
        raise TooLarge(f"The input has {size} characters, at most {most} are taken.", code="ai-gateway.prompt-too-large", hint="Shorten it.")


def _check_tools(request: ChatRequest) -> int:
    tools, size = request.tools, 0
    if request.tool_choice == "required" and not tools:
        raise InvalidInput("A tool has to be called, and there is none.", code="ai-gateway.nothing-to-call", hint="Send tools, or leave it free.")
    if len(tools) > MAX_TOOLS:
        raise TooLarge(f"A call has at most {MAX_TOOLS} tools.", code="ai-gateway.prompt-too-large", hint="Leave some out.")
    names: set[str] = set()
    for place, tool in enumerate(tools):
        if not _TOOL_NAME.fullmatch(tool.name) or tool.name in names:
            wrong = (ProblemItem(detail="is no name, or the name of two tools", pointer=f"/tools/{place}/name"),)
            raise Unprocessable(
                f"Tool {place + 1} has a bad name.", code="ai-gateway.bad-tool-schema", hint="Letters, digits, _ - and .", errors=wrong
            )
        names.add(tool.name)
        problems = schema_problems(tool.parameters)
        if not problems and tool.parameters.get("type", "object") != "object":
            problems = (ProblemItem(detail="its type is not object", pointer="/type"),)
        _refuse_schema(f"tools/{place}/parameters", problems, "ai-gateway.bad-tool-schema")
        size += len(tool.name) + len(tool.description) + len(msgspec.json.encode(tool.parameters))
    return size


def _refuse_schema(where: str, problems: Sequence[ProblemItem], code: str) -> None:
    if problems:
        errors = [msgspec.structs.replace(one, pointer=f"/{where}{one.pointer}") for one in problems]
        raise Unprocessable(f"{where} is no JSON Schema that can be used: {problems[0].detail}.", code=code, hint="Mend it.", errors=errors)
