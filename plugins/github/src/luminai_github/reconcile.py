"""What GitHub could not deliver: asked for by its own list, and delivered again by GitHub itself, signed as ever.

Source: https://docs.github.com/en/rest/repos/webhooks (deliveries are kept for 3 days; GitHub does not retry by itself)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from luminai import Conflict, HttpReply, PluginContext, Unprocessable, Upstream
from luminai_github import store
from luminai_github.config import GitHubConfig
from luminai_github.schemas import Reconciliation

PER_PAGE: Final = 100
MAX_PAGES: Final = 10
MAX_REQUESTS: Final = 100
MAX_PAGE_BYTES: Final = 4_194_304
_NEXT: Final = re.compile(r'<[^<>]{0,2000}[?&]cursor=([A-Za-z0-9_%.~-]{1,500})[^<>]{0,500}>;\s*rel="next"')


class Attempt(Struct, frozen=True):
    """One attempt of GitHub to deliver; ``guid`` is the delivery's id, the same for all its attempts."""

    id: Annotated[int, Meta(ge=0)]
    guid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,100}\Z")]
    status_code: int


class Reconciler:
    """Looks through the configured webhooks, one run at a time."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: GitHubConfig = ctx.config
        self._running = asyncio.Lock()

    async def run(self) -> Reconciliation:
        """Have GitHub deliver again what was never taken: at most ``MAX_REQUESTS`` of what stands on ``MAX_PAGES`` pages a webhook.

        Raises:
            Unprocessable: ``token`` or ``hooks`` is not set (code ``github.not-configured``).
            Conflict: a run goes on (code ``github.reconciling``).
            Upstream: GitHub refuses, or answers something else (code ``github.api-failed``), or cannot be called.
        """
        if self._config.token is None or not self._config.hooks:
            hint = "Set `token` and `hooks` in [plugins.github.config]; the README of the plugin tells which."
            raise Unprocessable("The plugin does not know which webhooks to look at.", code="github.not-configured", hint=hint)
        if self._running.locked():
            raise Conflict("A reconciliation goes on.", code="github.reconciling", hint="Ask again when it is over.")
        async with self._running:
            looked = missed = requested = 0
            complete = True
            for hook in self._config.hooks:
                attempts: dict[str, list[Attempt]] = {}
                pages = 0
                async for page, has_more in self._pages(hook):
                    pages += 1
                    complete &= not (has_more and pages == MAX_PAGES)
                    for one in page:
                        attempts.setdefault(one.guid, []).append(one)
                failed = {guid: tried[0] for guid, tried in attempts.items() if not any(200 <= one.status_code < 300 for one in tried)}
                known = await self._ctx.db.read(lambda session, guids=list(failed): store.known(session, guids))  # type: ignore[misc]
                due = [one for guid, one in failed.items() if guid not in known]
                looked, missed = looked + len(attempts), missed + len(due)
                for one in reversed(due):  # oldest first
                    if requested == MAX_REQUESTS:
                        complete = False
                        break
                    await self._call("POST", f"{_path(hook)}/{one.id}/attempts")
                    requested += 1
        return Reconciliation(looked=looked, missed=missed, requested=requested, complete=complete)

    async def _pages(self, hook: str) -> AsyncIterator[tuple[list[Attempt], bool]]:
        cursor = ""
        for _ in range(MAX_PAGES):
            reply = await self._call("GET", f"{_path(hook)}?per_page={PER_PAGE}{f'&cursor={cursor}' if cursor else ''}")
            found = _NEXT.search(reply.headers.get("link", ""))
            yield reply.json(list[Attempt]), found is not None
            if found is None:
                return
            cursor = found[1]

    async def _call(self, method: str, path: str) -> HttpReply:
        token = self._config.token.reveal() if self._config.token else ""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        more: dict[str, Any] = {"timeout": 20.0, "max_bytes": MAX_PAGE_BYTES}
        reply = await self._ctx.http.request(method, f"{self._config.api}{path}", headers=headers, **more)
        if reply.status not in (200, 202):
            hint = "The token needs the right to administer the repository's webhooks." if reply.status in (401, 403, 404) else "Try again later."
            raise Upstream(f"GitHub answered {reply.status}.", code="github.api-failed", hint=hint)
        return reply


def _path(hook: str) -> str:
    repository, _, number = hook.rpartition("/")
    return f"/repos/{repository}/hooks/{number}/deliveries"
