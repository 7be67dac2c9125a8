"""Hook implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from luminai import Action, Actor, AlertRule, Channel, Event, EventType, Job, Metric, PluginContext, hookimpl
from luminai_deployments.reports import ENVIRONMENTS, Completed, Failed, Report, Told
from luminai_deployments.smoke import baseline
from luminai_resonance import Resonance

if TYPE_CHECKING:
    from msgspec import Struct
    from sqlalchemy.orm import Session

READ: Final = "deployments:read"


class Plugin:
    """One action: so a pipeline reports over HTTP, an operator by the command line, and another plugin in its own unit, all by the same path."""

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Take reports."""

        async def report(job: Job, given: Report) -> Told:
            told: Completed | Failed
            if given.failed:
                told = Failed(url=given.url, version=given.version, reason=given.reason)
            else:
                measured = given.R_baseline
                if measured is None:
                    measured = await ctx.run_sync(baseline, ctx.service(Resonance))
                told = Completed(url=given.url, version=given.version, R_baseline=measured)
            kind = type(told).__name__
            event = Event(type=f"deployments.{kind}", payload=msgspec.to_builtins(told), subject=given.environment, key=given.environment)

            def unit(session: Session) -> Told:
                event_id = ctx.db.publish(session, event)
                message = "deployment_complete" if isinstance(told, Completed) else "deployment_failed"
                ctx.live.publish(f"deployments.to.{given.environment}", message, told, session=session)
                output = Told(event_id, told.R_baseline if isinstance(told, Completed) else None)
                job.finish(session, output)
                return output

            output = await ctx.db.write(unit)
            ctx.metrics.count("reports", environment=given.environment, outcome=kind.lower())
            return output

        summary = "Report what was deployed, or what failed to be."
        return [Action(name="report", summary=summary, input=Report, output=Told, run=report, scope="deployments:report", retries=5, backoff=2)]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published; it is kept for good."""
        return [
            EventType(name="Completed", payload=Completed, keep="lasting", summary="Something was deployed; the event's subject says to where."),
            EventType(name="Failed", payload=Failed, keep="lasting", summary="A deployment failed."),
        ]

    @hookimpl
    def channels(self) -> Sequence[Channel]:
        """Tell those who watch."""

        async def is_there(_: Actor, params: Mapping[str, str]) -> bool:
            return params["environment"] in ENVIRONMENTS  # who may watch one may watch all: the scope decides

        kinds: dict[str, type[Struct]] = {"deployment_complete": Completed, "deployment_failed": Failed}
        return [Channel(name="to.{environment}", kinds=kinds, may_join=is_there, scope=READ, keep=86_400.0, summary="What is deployed there.")]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Count reports."""
        return [Metric(name="reports", kind="counter", help="Deployments that were reported.", labels=("environment", "outcome"))]

    @hookimpl
    def alert_rules(self) -> Sequence[AlertRule]:
        """Warn of what failed."""
        said = "{value} deployments to {group} failed."
        failed = {"outcome": "failed"}
        return [
            AlertRule(
                name="failed",
                metric="reports",
                of="increase",
                labels=failed,
                by=("environment",),
                above=0,
                over=900,
                hold=0,
                severity="critical",
                message=said,
            )
        ]
