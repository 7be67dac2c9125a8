"""The routes of OpenAI's API that give pictures and speech.

Source: https://platform.openai.com/docs/api-reference/images/create, https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from litestar import Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai import signed_in
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.asking import passed_over, unsupported
from luminai_ai_faces.bounds import ModelName, Text
from luminai_ai_faces.described import Speaking
from luminai_ai_faces.openai_routes import CALL, Given
from luminai_ai_gateway import ImageCall, SpeechCall

REFUSED: Final = frozenset({"stream", "partial_images", "stream_format"})
"""Fields that would change how the answer is given."""
OWN_VOICE: Final = "default"
"""What a client says that must name a voice and knows none of the provider's."""


class ImageCreate(Struct, frozen=True, kw_only=True):
    """A picture; it comes in the answer, in base64."""

    model: ModelName
    prompt: Text
    size: Annotated[str, Meta(pattern=r"^(auto|[0-9]{2,4}x[0-9]{2,4})\Z", max_length=9)] | None = "auto"
    n: Annotated[int, Meta(ge=1, le=10)] | None = 1
    response_format: Literal["b64_json", "url"] | None = "b64_json"


class SpeechCreate(Struct, frozen=True, kw_only=True):
    """Text to speak; the answer is the sound, of the type that the provider gives."""

    model: ModelName
    input: Text
    voice: Annotated[str, Meta(max_length=200)] | None = OWN_VOICE


def media_handlers(faces: Faces) -> Sequence[Any]:
    """Return the route handlers."""
    ctx = faces.ctx

    @post("/v1/images/generations", **CALL)
    async def create_image(request: Given, data: JSONBody[ImageCreate]) -> Response[Any]:
        """Return one picture, as OpenAI's images do."""
        ignored = passed_over(await request.body(), ImageCreate, REFUSED)
        if data.n is not None and data.n > 1:
            raise unsupported("n", "Ask for one picture at a time.")
        if data.response_format == "url":
            raise unsupported("response_format", "Ask for b64_json.")
        width, _, height = ("1024x1024" if data.size in (None, "auto") else str(data.size)).partition("x")
        actor = faces.caller(signed_in(request))
        call = ImageCall(actor=actor, model=data.model, origin="openai.images", prompt=data.prompt, width=int(width), height=int(height))
        made = await faces.gateway.image(call)
        notes = {"content_type": made.content_type, "synthetic": made.synthetic, "ignored": ignored}
        data_of = [{"b64_json": b64encode(made.content).decode()}]
        return Response({"created": int(ctx.clock.now().timestamp()), "data": data_of, "luminai": notes})

    @post("/v1/audio/speech", operation_class=Speaking, **CALL)
    async def create_speech(request: Given, data: JSONBody[SpeechCreate]) -> Response[Any]:
        """Return speech, as OpenAI's audio does; headers say how it was made and what of the request was passed over."""
        ignored = passed_over(await request.body(), SpeechCreate, REFUSED)
        voice = "" if data.voice in (None, OWN_VOICE) else str(data.voice)
        call = SpeechCall(actor=faces.caller(signed_in(request)), model=data.model, origin="openai.speech", text=data.input, voice=voice)
        made = await faces.gateway.speak(call)
        notes = {"X-Luminai-Synthetic": made.synthetic, "X-Luminai-Ignored": ", ".join(ignored)}
        headers = {name: _plain(text) for name, text in notes.items() if text}
        return Response(made.content, media_type=made.content_type, headers=headers)

    return [create_image, create_speech]


def _plain(text: str) -> str:
    """Return text as a header may have it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:500]
