"""Which models there are, as every dialect lists them: the gateway's, and each persona as a model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from luminai import NotFound, Persona, Unprocessable
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.persona_models import PREFIX, persona_named, split
from luminai_ai_gateway import GatewayModel

LONG_AGO: Final = "1970-01-01T00:00:00Z"
"""When a model was made: nobody here knows, and both dialects want a moment."""
_KINDS: Final = frozenset({"chat", "embedding"})
_METHODS: Final = {"chat": ("generateContent", "streamGenerateContent", "countTokens"), "embedding": ("embedContent", "batchEmbedContents")}


class About(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the hub says about a model beside what the dialect asks for."""

    kinds: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    tools: bool = False
    structured: bool = False
    context_tokens: int = 0
    max_output_tokens: int = 0
    embedding_dimensions: int = 0
    persona: str = ""


class Listed(Struct, frozen=True, kw_only=True):
    """A model in a list."""

    id: str
    title: str
    summary: str
    owner: str
    about: About


def listed(faces: Faces) -> list[Listed]:
    """Return every model that can be asked for here: personas first, then the gateway's."""
    models = [_model(one) for one in faces.gateway.models() if one.available and one.kinds & _KINDS]
    return [*(_persona(one) for one in faces.personas.all()), *models]


def find(faces: Faces, name: str) -> Listed:
    """Return one model by name or alias.

    Raises:
        NotFound: there is none (code ``ai-faces.unknown-model``).
    """
    persona, model = split(name)
    try:
        if persona is None:
            return _model(faces.gateway.model(model))
        if model:
            faces.gateway.model(model)
        return _persona(persona_named(faces.personas, persona), name)
    except Unprocessable as unknown:
        raise NotFound(unknown.detail, code="ai-faces.unknown-model", hint=unknown.hint) from None


def page_of(every: Sequence[Listed], after: str | None, limit: int) -> tuple[list[Listed], bool]:
    """Return the models behind the one named ``after``, at most ``limit``, and whether more follow. An unknown name is before all."""
    begin = next((place + 1 for place, one in enumerate(every) if one.id == after), 0)
    return list(every[begin : begin + limit]), len(every) > begin + limit


def v1_model(one: Listed) -> dict[str, Any]:
    """Return a model as OpenAI and Anthropic list it: their shapes do not clash."""
    openai = {"id": one.id, "object": "model", "created": 0, "owned_by": one.owner}
    return {**openai, "type": "model", "display_name": one.title, "created_at": LONG_AGO, "luminai": one.about}


def gemini_model(one: Listed) -> dict[str, Any]:
    """Return a model as Google lists it."""
    about = one.about
    head = {"name": f"models/{one.id}", "baseModelId": one.id, "version": "1", "displayName": one.title, "description": one.summary}
    methods = [method for kind in about.kinds for method in _METHODS.get(kind, ())]
    limits = {"inputTokenLimit": about.context_tokens, "outputTokenLimit": about.max_output_tokens}
    return {**head, **{name: value for name, value in limits.items() if value}, "supportedGenerationMethods": methods, "luminai": about}


def _model(one: GatewayModel) -> Listed:
    about = About(
        kinds=tuple(sorted(one.kinds)),
        aliases=one.aliases,
        chain=one.chain,
        tools=one.tools,
        structured=one.structured,
        context_tokens=one.context_tokens,
        max_output_tokens=one.max_output_tokens,
        embedding_dimensions=one.embedding_dimensions,
    )
    return Listed(id=one.name, title=one.title or one.name, summary="", owner=one.name.partition("/")[0], about=about)


def _persona(one: Persona, name: str = "") -> Listed:
    about = About(kinds=("chat",), persona=one.id)
    return Listed(id=name or f"{PREFIX}{one.id}", title=one.title, summary=one.role, owner="personas", about=about)
