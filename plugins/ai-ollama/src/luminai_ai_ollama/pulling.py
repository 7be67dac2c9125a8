"""The action that has a server pull a model, as a job that tells how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

from msgspec import Meta, Struct

from luminai import Action, AIError, AIErrorKind, InstanceName, Job, NotFound, Unprocessable, Upstream
from luminai_ai_ollama.provider import OllamaProvider

PULL_SECONDS = 3600.0


class Pull(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model to pull, as in Ollama's library, and to which of the configured servers."""

    model: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*\Z", max_length=200)]
    instance: InstanceName = "ollama"


class Pulled(Struct, frozen=True):
    """The model is there, and how many models the server offers now."""

    model: Annotated[str, Meta(max_length=200)]
    models: int


def pull_action(providers: Sequence[OllamaProvider], scope: str) -> Action:
    """Return the action ``pull``; a second job for the same model and server waits for the first. What was fetched stays when it breaks off."""

    async def pull(job: Job, given: Pull) -> Pulled:
        provider = next((one for one in providers if one.name == given.instance), None)
        if provider is None:
            raise NotFound(f"There is no server {given.instance}.", hint="Name one of `instances` in [plugins.ai-ollama.config].")
        try:
            async with aclosing(provider.pull(given.model, timeout=PULL_SECONDS - 30)) as steps:
                async for step in steps:
                    await job.progress(step.completed, step.total, step.status[:200])
            return Pulled(given.model, await provider.refresh())
        except AIError as error:
            if error.kind is AIErrorKind.INVALID:
                raise Unprocessable(f"{provider.name}: {error}", code="ai-ollama.no-such-model") from error
            raise Upstream(f"{provider.name}: {error}", code="ai-ollama.pull-failed", retry_after=error.retry_after) from error

    summary = "Have a server pull a model."
    return Action(
        name="pull",
        summary=summary,
        input=Pull,
        output=Pulled,
        run=pull,
        scope=scope,
        timeout=PULL_SECONDS,
        key=lambda given: f"{given.instance}/{given.model}",
        concurrency="queue",
        retries=3,
    )
