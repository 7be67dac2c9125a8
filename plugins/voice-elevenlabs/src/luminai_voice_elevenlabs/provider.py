"""A provider for one account."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from luminai import AIError, AIErrorKind, HttpAIProvider, HttpCall, HttpClient, MediaReply, Model, Voice, refused
from luminai_voice_elevenlabs.config import ElevenLabsInstance, SpeakingModel

MAX_SPEECH: Final = 33_554_432
MAX_VOICES: Final = 1_000
PAGE: Final = 100
_VOICE: Final = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.ASCII)
_TYPES: Final = {"mp3": "audio/mpeg", "opus": "audio/ogg", "wav": "audio/wav"}
_SAID: Final = {
    "concurrent_limit_exceeded": AIErrorKind.RATE,
    "detected_unusual_activity": AIErrorKind.AUTH,
    "invalid_api_key": AIErrorKind.AUTH,
    "max_character_limit_exceeded": AIErrorKind.INVALID,
    "missing_permissions": AIErrorKind.AUTH,
    "needs_authorization": AIErrorKind.AUTH,
    "quota_exceeded": AIErrorKind.QUOTA,
    "rate_limit_exceeded": AIErrorKind.RATE,
    "system_busy": AIErrorKind.RATE,
    "too_many_concurrent_requests": AIErrorKind.RATE,
    "voice_not_found": AIErrorKind.INVALID,
}
"""What the service calls its refusals; it goes before the status: a spent quota comes as 401."""


class _Detail(Struct):
    status: str = ""
    code: str = ""


class _Refused(Struct):
    detail: Any = None


class _Listed(Struct):
    model_id: str
    name: str | None = None
    can_do_text_to_speech: bool | None = None
    maximum_text_length_per_request: int | None = None


class _Language(Struct):
    locale: str | None = None
    language: str | None = None


class _Voice(Struct):
    voice_id: str
    name: str | None = None
    verified_languages: list[_Language] | None = None


class _Voices(Struct):
    voices: list[_Voice]
    has_more: bool = False
    next_page_token: str | None = None


class ElevenLabsProvider(HttpAIProvider):
    """Speaks ``/v1/text-to-speech``, ``/v1/models`` and ``/v2/voices``."""

    def __init__(self, http: HttpClient, instance: ElevenLabsInstance) -> None:
        super().__init__(http, instance)
        self._voice = instance.voice
        self._format = instance.format
        self._most = {one.id: one.max_characters for one in instance.models}

    def headers(self) -> Mapping[str, str]:
        """Return the key."""
        key = self.instance.secret
        return {"xi-api-key": key} if key else {}

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AIError:
        """Return the error; the service's word for it stands in ``detail``."""
        error = refused(status, headers, body)
        try:
            detail = msgspec.convert(msgspec.json.decode(body, type=_Refused).detail, _Detail)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return error
        said = next((word for word in (detail.status, detail.code) if word in _SAID), "")
        return AIError(_SAID[said], f"the provider answered status {status} ({said})", retry_after=error.retry_after) if said else error

    def list_call(self) -> HttpCall:
        """Return how models are listed."""
        return HttpCall("v1/models")

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the listed models that speak, and keep how much each takes."""
        found = []
        for one in msgspec.json.decode(data, type=list[_Listed]):
            if one.can_do_text_to_speech and _MODEL.fullmatch(one.model_id):
                if (most := one.maximum_text_length_per_request) is not None and most > 0:
                    self._most.setdefault(one.model_id, most)
                found.append(SpeakingModel(id=one.model_id, title=(one.name or "")[:200]).model())
        return found

    async def voices(self, *, timeout: float = 30.0) -> Sequence[Voice]:
        """Return the account's voices, at most 1,000."""
        found: dict[str, Voice] = {}
        token = ""
        for _ in range(MAX_VOICES // PAGE):
            query = urlencode({"page_size": PAGE, "next_page_token": token} if token else {"page_size": PAGE})
            page = await self.asked(HttpCall(f"v2/voices?{query}"), _Voices, timeout)
            for one in page.voices[:PAGE]:
                if _VOICE.fullmatch(one.voice_id):
                    found[one.voice_id] = Voice(id=one.voice_id, title=(one.name or "")[:200], language=_language(one))
            token = page.next_page_token or ""
            if not (page.has_more and token) or len(token) > 1024:
                break
        return tuple(found.values())

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        """Return speech in the format of the settings. Each character of the text is paid for, so that a text that is too long is not sent.

        Raises:
            AIError: as every call; for no text, more characters than the model takes, or what is no voice's id (INVALID).
        """
        self.model(model, "speech")
        chosen, most = voice or self._voice, self._most.get(model, SpeakingModel(id=model).max_characters)
        if not text.strip() or len(text) > most:
            raise AIError(AIErrorKind.INVALID, f"{model} speaks 1 to {most} characters, not {len(text)}")
        if not _VOICE.fullmatch(chosen):
            raise AIError(AIErrorKind.INVALID, "the voice is named by its id: letters and digits")
        call = HttpCall(f"v1/text-to-speech/{chosen}?output_format={self._format}", {"text": text, "model_id": model})
        headers, content = await self.whole(call, timeout, most=MAX_SPEECH)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not content or not (kind.startswith("audio/") or kind == "application/octet-stream"):
            raise AIError(AIErrorKind.UPSTREAM, "the provider answered something that is no speech")
        kind = kind if kind.startswith("audio/") else _TYPES[self._format.partition("_")[0]]
        return MediaReply(content=content, content_type=kind, synthetic=f"spoken by {model}")


def _language(voice: _Voice) -> str:
    """Return the language of a voice that was made for one, "" otherwise."""
    languages = {(one.locale or one.language or "")[:35] for one in voice.verified_languages or ()}
    return languages.pop() if len(languages) == 1 else ""
