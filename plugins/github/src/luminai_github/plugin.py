"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from luminai import (
    Action,
    ConfigRejected,
    Delivery,
    EraseReport,
    Event,
    EventType,
    ExportItem,
    Health,
    HealthCheck,
    HealthState,
    Job,
    PluginContext,
    Schedule,
    Unavailable,
    Verified,
    Webhook,
    hookimpl,
    signing_secrets,
)
from luminai_github import privacy, store
from luminai_github.config import GitHubConfig
from luminai_github.models import metadata
from luminai_github.reconcile import Reconciler
from luminai_github.routes import routes
from luminai_github.schemas import Happening, Nothing, Reconciliation
from luminai_github.webhook import verify

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.orm import Session

EVENTS: Final = {
    "push": ("Pushed", "Commits were pushed to a branch that counts; `documents` are those to index again."),
    "pull_request": ("PullRequestChanged", "A pull request was opened, changed, merged or closed."),
    "issues": ("IssueChanged", "An issue was opened, changed or closed."),
    "release": ("ReleaseChanged", "A release was published, changed or deleted."),
}
"""The hub's event for each of GitHub's."""


class Plugin:
    """Webhooks of GitHub."""

    config: ClassVar = GitHubConfig

    def __init__(self) -> None:
        self._reconciler: Reconciler | None = None

    @hookimpl
    def models(self) -> MetaData:
        """Name the table."""
        return metadata

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [EventType(name=name, payload=Happening, summary=summary) for name, summary in EVENTS.values()]

    @hookimpl
    def webhooks(self, ctx: PluginContext) -> Sequence[Webhook]:
        """Receive at ``/api/webhook/github``."""
        config: GitHubConfig = ctx.config

        def genuine(body: bytes, headers: Mapping[str, str], now: datetime) -> Verified:
            return verify(config, body, headers, now)

        async def receive(happening: Happening, delivery: Delivery) -> None:
            row_id = ctx.new_id("ghd")
            event = Event(type=f"github.{EVENTS[happening.event][0]}", payload=msgspec.to_builtins(happening), subject=happening.repository[:120])

            def unit(session: Session) -> None:
                if store.keep(session, row_id, delivery, happening):
                    ctx.db.publish(session, event)
                delivery.finish(session)

            await ctx.db.write(unit)

        return [Webhook(event=Happening, verify=genuine, receive=receive, max_bytes=config.max_bytes)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether deliveries can be verified."""
        config: GitHubConfig = ctx.config

        async def check() -> Health:
            try:
                signing_secrets(config.secrets, old_until=config.old_until)
            except (ConfigRejected, Unavailable) as error:
                return Health(HealthState.DEGRADED, error.detail)
            return Health(HealthState.OK)

        return [HealthCheck(name="secrets", check=check)]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer the list of deliveries."""
        return routes(ctx, self._one(ctx))

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer the comparison with GitHub's own list."""
        reconciler = self._one(ctx)

        async def reconcile(_: Job, __: Nothing) -> Reconciliation:
            return await reconciler.run()

        summary = "Compare with GitHub's own list, and have it deliver again what never arrived."
        kinds: dict[str, Any] = {"input": Nothing, "output": Reconciliation, "scope": "github:manage"}
        return [Action(name="reconcile", summary=summary, run=reconcile, timeout=600, concurrency="skip", retries=3, backoff=60, **kinds)]

    @hookimpl
    def schedules(self, ctx: PluginContext) -> Sequence[Schedule]:
        """Compare once a day, where it is known what with."""
        config: GitHubConfig = ctx.config
        if config.token is None or not config.hooks:
            return []
        return [Schedule(name="daily-reconciliation", action="reconcile", trigger="cron: 0 4 * * *", jitter=3600)]

    def _one(self, ctx: PluginContext) -> Reconciler:
        """Return the one that route and action share, so that one run goes on at a time."""
        self._reconciler = self._reconciler or Reconciler(ctx)
        return self._reconciler

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Tell what somebody at GitHub, ``github:<login>``, sent."""
        async for item in privacy.export(ctx, subject):
            yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Take somebody's login out of what was delivered."""
        return await privacy.erase(ctx, subject, dry_run=dry_run)
