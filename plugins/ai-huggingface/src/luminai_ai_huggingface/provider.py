"""A provider for one service that makes pictures."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import AIError, AIErrorKind, HttpAIProvider, HttpCall, HttpClient, MediaReply, Model, picture_type, provider_error, refused
from luminai_ai_huggingface.config import HuggingFaceInstance, PictureModel

MAX_PICTURE: Final = 33_554_432
MAX_LISTED: Final = 100
MAX_WAIT: Final = 3600.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class _Refused(Struct):
    """What the service says while it still loads a model, or may not make a picture."""

    estimated_time: float | None = None


class _Failed(Struct):
    error: Any = None


class _Picture(Struct):
    b64_json: str | None = None


class _Pictures(Struct):
    data: list[_Picture] = []
    error: Any = None


class _Listed(Struct):
    id: str


class HuggingFaceProvider(HttpAIProvider):
    """Asks for pictures: ``/hf-inference/models/<model>``, ``/<provider>/v1/images/generations``, or an endpoint's own address."""

    def __init__(self, http: HttpClient, instance: HuggingFaceInstance) -> None:
        super().__init__(http, instance)
        self._provider = instance.provider
        self._hub_url = instance.hub_url
        self._settings = {one.id: one for one in instance.models}

    def headers(self) -> Mapping[str, str]:
        """Return the key as a bearer token."""
        key = self.instance.secret
        return {"Authorization": f"Bearer {key}"} if key else {}

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AIError:
        """Return the error; a model that is being loaded tells by when it will have been."""
        error = refused(status, headers, body)
        try:
            seconds = msgspec.json.decode(body, type=_Refused).estimated_time
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return error
        if error.retry_after is None and seconds is not None and 0 < seconds < MAX_WAIT:
            error.retry_after = seconds
        return error

    async def refresh(self, *, timeout: float = 10.0) -> int:
        """Try the key, and ask which models there are: the hub for those that the provider serves; an endpoint only whether it stands."""
        if self._provider == "endpoint":
            await self.whole(HttpCall("health"), timeout)
        elif self._hub_url:
            await self.whole(HttpCall("api/whoami-v2", base_url=self._hub_url), timeout)
            return await super().refresh(timeout=timeout)
        return len(self._models)

    def list_call(self) -> HttpCall:
        """Return how models are listed: by how often they are liked."""
        query = f"pipeline_tag=text-to-image&inference_provider={self._provider}&sort=likes&direction=-1&limit={MAX_LISTED}"
        return HttpCall(f"api/models?{query}", base_url=self._hub_url)

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the listed models."""
        listed = msgspec.json.decode(data, type=list[_Listed])
        return [PictureModel(id=one.id).model() for one in listed[:MAX_LISTED] if len(one.id) <= 200 and _NAME.fullmatch(one.id)]

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        """Return a picture; its sides are rounded down to the model's ``multiple``.

        Raises:
            AIError: as every call, and for sides that the model does not make (INVALID).
        """
        self.model(model, "image")
        settings = self._settings.get(model) or PictureModel(id=model)
        sides = [side - side % settings.multiple for side in (width, height)]
        if min(sides) <= 0 or max(sides) > settings.longest:
            raise AIError(AIErrorKind.INVALID, f"{model} makes pictures of {settings.multiple} to {settings.longest} pixels a side")
        _, body = await self.whole(self._call(settings, prompt, sides[0], sides[1]), timeout, most=MAX_PICTURE)
        content = body if self._gives_bytes else self._unpacked(body)
        kind = picture_type(content)
        if not kind:
            raise self._no_picture(content)
        return MediaReply(content=content, content_type=kind, synthetic=f"made by {model}")

    @property
    def _gives_bytes(self) -> bool:
        return self._provider in ("hf-inference", "endpoint")

    def _call(self, model: PictureModel, prompt: str, width: int, height: int) -> HttpCall:
        if self._provider == "nscale":  # it has no say about steps
            return HttpCall(
                "nscale/v1/images/generations", {"model": model.id, "prompt": prompt, "size": f"{width}x{height}", "response_format": "b64_json"}
            )
        steps = "steps" if self._provider == "together" else "num_inference_steps"
        wanted: dict[str, Any] = {steps: model.steps, "guidance_scale": model.guidance, "negative_prompt": model.negative}
        asked = {"width": width, "height": height} | {name: value for name, value in wanted.items() if value}
        if self._provider == "together":
            return HttpCall("together/v1/images/generations", {"model": model.id, "prompt": prompt, "response_format": "base64", **asked})
        return HttpCall("" if self._provider == "endpoint" else f"hf-inference/models/{model.id}", {"inputs": prompt, "parameters": asked})

    def _unpacked(self, body: bytes) -> bytes:
        """Return the picture of an answer in JSON."""
        answer = self.decoded(body, _Pictures)
        if answer.error is not None:
            raise provider_error(answer.error)
        try:
            return b64decode((answer.data[0].b64_json if answer.data else None) or "", validate=True)
        except ValueError:
            return b""

    def _no_picture(self, content: bytes) -> AIError:
        """Return the error for what came in a picture's place: what the service says, under a good status, or something else."""
        try:
            said = msgspec.json.decode(content, type=_Failed).error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = None
        return provider_error(said) if said is not None else AIError(AIErrorKind.UPSTREAM, "the provider answered with no picture")
