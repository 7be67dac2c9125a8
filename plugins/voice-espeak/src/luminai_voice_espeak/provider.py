"""The provider: texts spoken by espeak-ng as WAV."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Final

from luminai import AIError, AIErrorKind, ChatReply, ChatRequest, EmbeddingReply, MediaReply, Model, StreamEvent, Voice
from luminai_voice_espeak.config import VOICE, EspeakConfig
from luminai_voice_espeak.program import Program

MODEL: Final = "espeak"
MAX_SPEECH: Final = 67_108_864
MAX_LIST: Final = 1_048_576
MAX_VOICES: Final = 1_000
_VOICE: Final = re.compile(VOICE, re.ASCII)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Among them the sign by which a text gives the program orders."""


class EspeakProvider:
    """Implements ``AIProvider`` with the one kind ``speech``, and ``Voices``."""

    name = "espeak"
    title = "espeak-ng (this machine)"

    def __init__(self, config: EspeakConfig) -> None:
        self._config = config
        self.program = Program(config.program, config.processes)

    def models(self) -> Sequence[Model]:
        """Return the one model."""
        return [Model(id=MODEL, kinds=frozenset({"speech"}), title="espeak-ng", follows_instructions=False)]

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        """Return a text spoken, as WAV of 22,050 samples a second. An unknown voice is refused; control characters are left out.

        Raises:
            AIError: another model, no text or too much, a name that is no voice's (INVALID); otherwise as ``Program.output``.
        """
        if model != MODEL:
            raise self._lacks(model)
        config = self._config
        if not text.strip() or len(text) > config.max_characters:
            raise AIError(AIErrorKind.INVALID, f"{self.name} speaks 1 to {config.max_characters} characters, not {len(text)}")
        chosen = voice or config.voice
        if not _VOICE.fullmatch(chosen) or len(chosen) > 120:
            raise AIError(AIErrorKind.INVALID, "that is no name of a voice, such as en-gb or de+f3")
        spoken = _CONTROLS.sub(" ", text).encode()
        arguments = ["-b", "1", "-v", chosen, "-s", str(config.words_per_minute), "-p", str(config.pitch), "--stdin", "--stdout"]
        try:
            written = await self.program.output(arguments, spoken, most=MAX_SPEECH, timeout=timeout)
        except AIError as error:
            if voice and error.code == "failed":
                raise AIError(AIErrorKind.INVALID, f"espeak-ng does not speak with the voice {voice}") from error
            raise
        return MediaReply(content=sound(written), content_type="audio/wav", synthetic="spoken by espeak-ng")

    async def voices(self, *, timeout: float = 30.0) -> Sequence[Voice]:
        """Return the program's voices by language."""
        listed = await self.program.output(["--voices"], b"", most=MAX_LIST, timeout=timeout)
        found: dict[str, Voice] = {}
        for line in listed.decode(errors="replace").splitlines()[1:]:
            words = line.split()  # priority, language, age and gender, name, file
            if len(words) > 4 and _VOICE.fullmatch(words[1]):
                found.setdefault(words[1], Voice(id=words[1], title=words[3].replace("_", " ")[:200], language=words[1]))
        return tuple(found.values())[:MAX_VOICES]

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Refuse: it only speaks."""
        raise self._lacks(request.model)

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Refuse: it only speaks."""
        raise self._lacks(request.model)
        yield

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:  # noqa: ARG002 - the contract's shape
        """Refuse: it only speaks."""
        raise self._lacks(model)

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse: it only speaks."""
        raise self._lacks(model)

    def _lacks(self, model: str) -> AIError:
        return AIError(AIErrorKind.INVALID, f"{self.name} has no such model for that: {model[:80]!r}")


def sound(written: bytes) -> bytes:
    """Return the program's WAV with its true length: it writes the beginning before it knows.

    Raises:
        AIError: it is no WAV with sound in it (UPSTREAM).
    """
    if written[:4] != b"RIFF" or written[8:16] != b"WAVEfmt " or written[36:40] != b"data" or len(written) <= 44:
        raise AIError(AIErrorKind.UPSTREAM, "espeak-ng wrote something that is no sound")
    size = len(written) - 44
    return b"RIFF" + struct.pack("<I", size + 36) + written[8:40] + struct.pack("<I", size) + written[44:]
