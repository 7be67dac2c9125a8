"""Pictures over Hugging Face's API: what is asked, what is understood, and what every fault is called."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_service import ABORT, HANG, Asked, Service, Step, head, run, service, whole
from home import Home

from luminai import AIError, AIErrorKind, Secret
from luminai.testing import MediaProviderContract, running_hub
from luminai_ai_huggingface.config import HuggingFaceInstance, PictureModel
from luminai_ai_huggingface.provider import HuggingFaceProvider

PNG = b"\x89PNG\r\n\x1a\n and so on"
JPEG = b"\xff\xd8\xff\xe0 and so on"
SCHNELL, DEV = "black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-dev"
HOSTS = ("outbound:router.huggingface.co", "outbound:huggingface.co")
PROMPT = "a prompt that nobody may log"


def picture(content: bytes = JPEG, kind: str = "image/jpeg") -> list[bytes]:
    return [*head(kind=kind, Content_Length=str(len(content))), content]


def good(asked: Asked) -> Sequence[Step]:
    if asked.path.startswith("/api/whoami-v2"):
        return whole({"name": "ann"})
    if asked.path.startswith("/api/models?"):
        return whole([{"id": "org/other"}, {"id": SCHNELL}, {"id": "../secret"}, {"id": "x" * 300}])
    return picture()


def provider(http: Any, url: str, **more: Any) -> HuggingFaceProvider:
    return HuggingFaceProvider(http, HuggingFaceInstance(base_url=url, **{"hub_url": url, **more}))


class TestContract(MediaProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with service() as there:
            there.answer = good
            config = {"instances": [{"base-url": there.url, "hub-url": there.url}]}
            settings = {"plugins": {"ai-huggingface": {"approve": ["secrets", *HOSTS, there.grant]}}}
            async with running_hub("ai-huggingface", config={"ai-huggingface": config}, settings=settings, folder=folder) as hub:
                assert hub.state("ai-huggingface") == "enabled"
                yield hub.hub.generation.wiring.providers.ai_providers["huggingface"]


@pytest.mark.shows("LK-12")
def test_request__is_written_as_each_provider_behind_the_router_wants_it() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda asked: picture() if "v1/images" not in asked.path else whole({"data": [{"b64_json": b64encode(PNG).decode()}]})
        key = Secret("env:HF_TOKEN", lambda _: "hf_1")
        models = (PictureModel(id=DEV, steps=30, guidance=3.5, negative="text"), PictureModel(id=SCHNELL))
        for name in ("hf-inference", "together", "nscale", "endpoint"):
            made = await provider(http, there.url, provider=name, key=key, models=models).image(DEV, "a cat", width=1030, height=512)
            assert (made.content_type, made.synthetic) == ("image/png" if name in ("together", "nscale") else "image/jpeg", f"made by {DEV}")
        inference, together, nscale, endpoint = there.asked
        parameters = {"width": 1024, "height": 512, "num_inference_steps": 30, "guidance_scale": 3.5, "negative_prompt": "text"}
        assert (inference.method, inference.path) == ("POST", f"/hf-inference/models/{DEV}")
        assert inference.headers["authorization"] == "Bearer hf_1"
        assert inference.body == {"inputs": "a cat", "parameters": parameters}
        assert (endpoint.path, endpoint.body) == ("/", inference.body)
        assert together.path == "/together/v1/images/generations"
        assert together.body == {"model": DEV, "prompt": "a cat", "response_format": "base64", "steps": 30} | {
            name: value for name, value in parameters.items() if name != "num_inference_steps"
        }
        assert nscale.path == "/nscale/v1/images/generations"
        assert nscale.body == {"model": DEV, "prompt": "a cat", "size": "1024x512", "response_format": "b64_json"}
        await provider(http, there.url, models=models).image(SCHNELL, "a cat", width=64, height=64)
        assert there.asked[-1].body["parameters"] == {"width": 64, "height": 64}, "what is not set is the service's to choose"
        assert "authorization" not in there.asked[-1].headers

    run(work)


@pytest.mark.parametrize(("width", "height"), [(15, 64), (64, 4096), (0, 0), (-64, 64)])
def test_size__that_the_model_does_not_make__asks_nobody(width: int, height: int) -> None:
    async def work(there: Service, http: Any) -> None:
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).image(SCHNELL, "a cat", width=width, height=height)
        assert (refused.value.kind, there.asked) == (AIErrorKind.INVALID, [])

    run(work)


LOADING = {"error": f"Model {PROMPT} is currently loading", "estimated_time": 21.5}


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait"),
    [
        (400, {"error": [PROMPT]}, AIErrorKind.INVALID, None),
        (401, {"error": f"Invalid username or password. {PROMPT}"}, AIErrorKind.AUTH, None),
        (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, AIErrorKind.QUOTA, None),
        (403, {"error": "This authentication method does not have sufficient permissions"}, AIErrorKind.AUTH, None),
        (404, {"error": "Not Found"}, AIErrorKind.INVALID, None),
        (429, {"error": "Too Many Requests", "estimated_time": -1}, AIErrorKind.RATE, None),
        (500, b"<html>", AIErrorKind.UPSTREAM, None),
        (503, LOADING, AIErrorKind.UPSTREAM, 21.5),
        (503, {"error": "busy", "estimated_time": "soon"}, AIErrorKind.UPSTREAM, None),
        (504, {"error": "Model too busy"}, AIErrorKind.TIMEOUT, None),
    ],
)
def test_status__each__is_one_of_the_six_kinds(status: int, body: Any, kind: AIErrorKind, wait: float | None) -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole(body, status)
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).image(SCHNELL, PROMPT, width=64, height=64)
        assert (refused.value.kind, refused.value.retry_after, len(there.asked)) == (kind, wait, 1)
        assert PROMPT not in str(refused.value)

    run(work)


@pytest.mark.parametrize(
    "steps",
    [
        whole({"error": PROMPT}),
        whole({}),
        whole(b""),
        picture(b"<svg onload=x>", "image/svg+xml"),
        picture(b"RIFF\0\0\0\0WAVEfmt ", "image/webp"),
        picture(b"\xff\xfe\x00"),
        [*head(kind="image/png", Content_Length="900"), PNG],
        [*head(kind="image/png"), PNG[:4], ABORT],
        [*head(kind="image/png"), *[PNG + b"x" * 1_048_576] * 33],
    ],
    ids=["error under 200", "nothing known", "empty", "svg", "sound", "rubbish", "cut", "reset", "endless"],
)
def test_answer__that_is_no_picture__is_an_error(steps: Sequence[Step]) -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: steps
        with pytest.raises(AIError) as refused:
            await provider(http, there.url).image(SCHNELL, PROMPT, width=64, height=64)
        assert refused.value.kind is AIErrorKind.UPSTREAM
        assert PROMPT not in str(refused.value)

    run(work)


@pytest.mark.parametrize("body", [{"error": {"type": "server_error"}}, {"data": []}, {"data": [{"b64_json": "!"}]}, {"data": [{"url": "x"}]}, [1]])
def test_answer__in_json_without_a_picture__is_an_error(body: Any) -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole(body)
        with pytest.raises(AIError) as refused:
            await provider(http, there.url, provider="together").image(SCHNELL, "a cat", width=64, height=64)
        assert refused.value.kind is AIErrorKind.UPSTREAM

    run(work)


def test_silence__is_a_timeout_and_cancelling_hangs_up() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: [HANG]
        one = provider(http, there.url)
        with pytest.raises(AIError) as late:
            await one.image(SCHNELL, "a cat", width=64, height=64, timeout=0.2)
        assert late.value.kind is AIErrorKind.TIMEOUT
        begun = asyncio.Event()

        def answer(_: Asked) -> Sequence[Step]:
            begun.set()
            return [*head(kind="image/png"), PNG, HANG]

        there.answer = answer
        task = asyncio.create_task(one.image(SCHNELL, "a cat", width=64, height=64))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await there.has_left()

    run(work)


def test_models__are_listed_by_the_hub_with_the_key_tried_before() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = good
        one = provider(http, there.url)
        assert await one.refresh() == 3
        assert [asked.path.partition("?")[0] for asked in there.asked] == ["/api/whoami-v2", "/api/models"]
        assert "inference_provider=hf-inference" in there.asked[1].path
        assert {model.id: set(model.kinds) for model in one.models()} == {SCHNELL: {"image"}, DEV: {"image"}, "org/other": {"image"}}
        assert (await one.image("org/other", "a cat", width=64, height=64)).content == JPEG
        there.answer = lambda _: whole({"error": "Invalid credentials in Authorization header"}, 401)
        with pytest.raises(AIError) as refused:
            await one.refresh()
        assert (refused.value.kind, len(one.models())) == (AIErrorKind.AUTH, 3), "what was known stays"
        there.asked.clear()
        there.answer = lambda _: whole(b"Ok")
        assert await provider(http, there.url, provider="endpoint").refresh() == 2
        assert [asked.path for asked in there.asked] == ["/health"]
        there.asked.clear()
        assert await provider(http, there.url, hub_url="").refresh() == 2
        assert there.asked == []

    run(work)


CONFIG = """
[plugins.ai-huggingface]
enabled = true
approve = ["secrets", "outbound:router.huggingface.co", "outbound:huggingface.co", "outbound:127.0.0.1:{port}"]
[[plugins.ai-huggingface.config.instances]]
base-url = "http://127.0.0.1:{port}"
hub-url = "http://127.0.0.1:{port}"
key = "env:HF_TOKEN"
"""


def test_settings__are_tried__and_a_wrong_key_is_told_with_what_to_do(tmp_path: Path) -> None:
    async def main() -> None:
        async with service() as there:
            home = Home(tmp_path / "home")
            (home.folder / "config.toml").write_text(CONFIG.format(port=there.port))
            home.env["HF_TOKEN"] = "hf_right"
            there.answer = lambda asked: good(asked) if asked.headers["authorization"] == "Bearer hf_right" else whole({"error": "no"}, 401)
            assert (await asyncio.to_thread(home.data, "config", "test", "ai-huggingface"))["problems"] == []
            home.env["HF_TOKEN"] = "hf_wrong"
            done = await asyncio.to_thread(home.run, "config", "test", "ai-huggingface")
            (problem,) = json.loads(done.stdout)["problems"]
            assert (done.returncode, problem["code"], problem["key"]) == (8, "auth", "instances.0")
            assert "key" in problem["hint"]
            assert "hf_wrong" not in done.stdout + done.stderr

    asyncio.run(main())
