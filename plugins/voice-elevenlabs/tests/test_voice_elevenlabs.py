"""Speech over ElevenLabs' API: what is asked, what is understood, and what every fault is called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_service import HANG, Asked, Service, Step, head, run, service, whole

from luminai import AIError, AIErrorKind, Secret, Voice
from luminai.testing import MediaProviderContract, running_hub
from luminai_voice_elevenlabs.config import ElevenLabsInstance, SpeakingModel
from luminai_voice_elevenlabs.provider import ElevenLabsProvider

MODEL = "eleven_multilingual_v2"
TEXT = "a text that nobody may log"
SOUND = b"ID3 sound"
VOICES = [
    {"voice_id": "JBFqnCBsd6RMkjVDRZzb", "name": "George", "verified_languages": [{"language": "en", "locale": "en-GB", "model_id": MODEL}]},
    {"voice_id": "21m00Tcm4TlvDq8ikWAM", "name": None, "verified_languages": [{"language": "de"}, {"language": "en"}]},
    {"voice_id": "../models", "name": "no voice"},
]
MODELS = [
    {"model_id": "eleven_v3", "name": "Eleven v3", "can_do_text_to_speech": True, "maximum_text_length_per_request": 5},
    {"model_id": "eleven_english_sts_v2", "name": "Changes voices", "can_do_text_to_speech": False},
    {"model_id": MODEL, "can_do_text_to_speech": True, "maximum_text_length_per_request": 3},
]


def sound(kind: str = "audio/mpeg") -> list[bytes]:
    return [*head(kind=kind, Content_Length=str(len(SOUND))), SOUND]


def good(asked: Asked) -> Sequence[Step]:
    if asked.path == "/v1/models":
        return whole(MODELS)
    if asked.path.startswith("/v2/voices"):
        return whole({"voices": VOICES, "has_more": False, "total_count": 3})
    return sound()


def provider(http: Any, url: str, **more: Any) -> ElevenLabsProvider:
    return ElevenLabsProvider(http, ElevenLabsInstance(base_url=url, **more))


@asynccontextmanager
async def hub_over(there: Service, folder: Path):
    there.answer = good
    config = {"instances": [{"base-url": there.url}]}
    settings = {"plugins": {"voice-elevenlabs": {"approve": ["secrets", "outbound:api.elevenlabs.io", there.grant]}}}
    async with running_hub("voice-elevenlabs", config={"voice-elevenlabs": config}, settings=settings, folder=folder) as hub:
        assert hub.state("voice-elevenlabs") == "enabled"
        yield hub


class TestContract(MediaProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with service() as there, hub_over(there, folder) as hub:
            yield hub.hub.generation.wiring.providers.ai_providers["elevenlabs"]


def test_request__is_written_as_the_api_wants_it() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = good
        one = provider(http, there.url, key=Secret("env:KEY", lambda _: "sk_1"), format="opus_48000_64")
        made = await one.speak(MODEL, "Grüße. 世界", voice="21m00Tcm4TlvDq8ikWAM")
        (asked,) = there.asked
        assert (asked.method, asked.path) == ("POST", "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM?output_format=opus_48000_64")
        assert (asked.headers["xi-api-key"], asked.body) == ("sk_1", {"text": "Grüße. 世界", "model_id": MODEL})
        assert (made.content, made.content_type, made.synthetic) == (SOUND, "audio/mpeg", f"spoken by {MODEL}")
        there.answer = lambda _: sound("application/octet-stream")
        assert (await one.speak(MODEL, "a")).content_type == "audio/ogg", "the format that was asked for"
        assert there.asked[-1].path.startswith("/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb?"), "the voice of the settings"

    run(work)


def test_characters__more_than_the_model_takes__are_not_sent() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = good
        one = provider(http, there.url, models=(SpeakingModel(id=MODEL, max_characters=4),))
        await one.speak(MODEL, "世界世界")
        await one.refresh()
        await one.speak("eleven_v3", "12345")
        there.asked.clear()
        texts = ((MODEL, "12345"), ("eleven_v3", "123456"), (MODEL, " "), (MODEL, ""))
        voices = ("../models", "a b", "x" * 65, "a?b=c", "é")
        for model, text, voice in (*((model, text, "") for model, text in texts), *((MODEL, "a", voice) for voice in voices)):
            with pytest.raises(AIError) as refused:
                await one.speak(model, text, voice=voice)
            assert refused.value.kind is AIErrorKind.INVALID
        assert there.asked == []

    run(work)


def told(status: str, **more: Any) -> dict[str, Any]:
    return {"detail": {"status": status, "message": TEXT, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, told("invalid_api_key", type="authentication_error", code="unauthorized", request_id="1"), AIErrorKind.AUTH),
        (401, told("quota_exceeded"), AIErrorKind.QUOTA),
        (401, told("", code="quota_exceeded"), AIErrorKind.QUOTA),
        (401, told("detected_unusual_activity"), AIErrorKind.AUTH),
        (401, told("missing_permissions"), AIErrorKind.AUTH),
        (400, told("voice_not_found"), AIErrorKind.INVALID),
        (400, told("max_character_limit_exceeded"), AIErrorKind.INVALID),
        (402, told("payment_required"), AIErrorKind.QUOTA),
        (422, {"detail": [{"loc": ["body", "text"], "msg": TEXT, "type": "string_too_short"}]}, AIErrorKind.INVALID),
        (429, told("too_many_concurrent_requests"), AIErrorKind.RATE),
        (429, told("system_busy"), AIErrorKind.RATE),
        (500, {"detail": TEXT}, AIErrorKind.UPSTREAM),
        (503, b"\xff<html>", AIErrorKind.UPSTREAM),
    ],
)
def test_refusal__each__is_one_of_the_six_kinds(status: int, body: Any, kind: AIErrorKind) -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole(body, status, Retry_After="7")
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).speak(MODEL, TEXT)
        assert (refused.value.kind, refused.value.retry_after, len(there.asked)) == (kind, 7.0, 1)
        assert TEXT not in str(refused.value)

    run(work)


@pytest.mark.parametrize(
    "steps",
    [
        whole({"detail": "none"}),
        [*head(kind="audio/mpeg", Content_Length="0")],
        [*head(kind="text/html"), b"<html>"],
        [*head(kind="audio/mpeg", Content_Length="900"), SOUND],
        [*head(kind="audio/mpeg"), *[b"x" * 1_048_576] * 33],
    ],
    ids=["json", "empty", "page", "cut", "endless"],
)
def test_answer__that_is_no_speech__is_an_error(steps: Sequence[Step]) -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: steps
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).speak(MODEL, TEXT)
        assert refused.value.kind is AIErrorKind.UPSTREAM

    run(work)


def test_silence__is_a_timeout() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: [*head(kind="audio/mpeg"), SOUND, HANG]
        with pytest.raises(AIError) as late:
            await provider(http, there.url).speak(MODEL, TEXT, timeout=0.2)
        assert late.value.kind is AIErrorKind.TIMEOUT

    run(work)


def test_voices__are_listed_page_by_page__and_an_endless_list_ends() -> None:
    async def work(there: Service, http: Any) -> None:
        pages = iter(range(1000))

        def answer(_: Asked) -> Sequence[Step]:
            page = next(pages)
            voices = [{"voice_id": f"v{page}x{number}", "name": "n" * 300} for number in range(150)]
            return whole({"voices": voices, "has_more": True, "next_page_token": f"t {page}"})

        there.answer = answer
        found = await provider(http, there.url).voices()
        assert (len(found), len(there.asked), len(found[0].title)) == (1000, 10, 200)
        assert there.asked[1].path == "/v2/voices?page_size=100&next_page_token=t+0"
        there.answer = good
        assert await provider(http, there.url).voices() == (
            Voice(id="JBFqnCBsd6RMkjVDRZzb", title="George", language="en-GB"),
            Voice(id="21m00Tcm4TlvDq8ikWAM"),
        )
        there.answer = lambda _: whole({"voices": "many"})
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).voices()
        assert refused.value.kind is AIErrorKind.UPSTREAM

    run(work)


def test_actions__list_voices_and_models(tmp_path: Path) -> None:
    async def main() -> None:
        async with service() as there, hub_over(there, tmp_path) as hub:
            client = hub.client("voice-elevenlabs:manage")

            async def act(name: str, key: str, **given: Any) -> Any:
                headers = {"prefer": "wait=20", "idempotency-key": key}
                return (await client.request("POST", f"/api/actions/voice-elevenlabs.{name}", json=given, headers=headers)).json()

            listed = await act("list-voices", "1")
            assert [one["id"] for one in listed["output"]["voices"]] == ["JBFqnCBsd6RMkjVDRZzb", "21m00Tcm4TlvDq8ikWAM"], listed
            assert (await act("refresh-models", "2"))["output"] == {"models": {"elevenlabs": 3}}
            there.answer = lambda _: whole(told("invalid_api_key"), 401)
            failed = await act("list-voices", "3")
            assert failed["state"] == "dead"
            assert "invalid_api_key" in failed["error"], failed

    asyncio.run(main())
