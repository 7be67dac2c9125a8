"""Every hook, in one sitting.

Contribution hooks are sync, pure and called once a generation; they return cheap declarations, and the objects in them do the work.
Lifecycle hooks are async, one plugin at a time, with a deadline. An implementation may leave out arguments; it may not add any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pluggy

from luminai.contracts.ai import AIProvider
from luminai.contracts.context import PluginContext
from luminai.contracts.engines import JobEngine
from luminai.contracts.errors import ProblemItem
from luminai.contracts.jobs import Action, Schedule
from luminai.contracts.live import Channel
from luminai.contracts.metering import Meter
from luminai.contracts.metrics import AlertRule
from luminai.contracts.payment import PaymentProvider
from luminai.contracts.persona import Persona
from luminai.contracts.resonance import ResonanceCalculator
from luminai.contracts.runtime import (
    Authenticator,
    Decision,
    EraseReport,
    EventType,
    ExportItem,
    Extension,
    ExtensionPoint,
    HealthCheck,
    Metric,
    PurgeItem,
    SecretBackend,
    Service,
    Subscription,
    Webhook,
)
from luminai.contracts.storage import StorageBackend
from luminai.contracts.streams import Aggregate

if TYPE_CHECKING:
    from sqlalchemy import MetaData

NAMESPACE: Final = "luminai"

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


class Contributions:
    """What a plugin adds to the hub."""

    @hookspec
    def personas(self, ctx: PluginContext) -> Sequence[Persona]:
        """Offer personas."""

    @hookspec
    def resonance_calculators(self, ctx: PluginContext) -> Sequence[ResonanceCalculator]:
        """Offer resonance calculators."""

    @hookspec
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer adapters to models."""

    @hookspec
    def payment_providers(self, ctx: PluginContext) -> Sequence[PaymentProvider]:
        """Offer payment services."""

    @hookspec
    def storage_backends(self, ctx: PluginContext) -> Sequence[StorageBackend]:
        """Offer places to keep objects."""

    @hookspec
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer Litestar route handlers, controllers or routers; their paths are below the plugin's claimed prefixes, each with a ``policy``."""

    @hookspec
    def models(self) -> MetaData:
        """Name the SQLAlchemy metadata of the plugin's tables; each table's name starts with ``<id>__`` (dashes as underscores)."""

    @hookspec
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer typed objects to plugins that require this one."""

    @hookspec
    def decisions(self, ctx: PluginContext) -> Sequence[Decision]:
        """Take part in decision chains."""

    @hookspec
    def meters(self, ctx: PluginContext) -> Sequence[Meter]:
        """Count paid work and be asked before it begins. While the plugin is turned on and does not run, paid work is refused."""

    @hookspec
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Offer health checks."""

    @hookspec
    def metrics(self) -> Sequence[Metric]:
        """Declare the plugin's own metrics."""

    @hookspec
    def alert_rules(self) -> Sequence[AlertRule]:
        """Watch over metrics, the plugin's own or the hub's; the operator may change each rule, and has the last word."""

    @hookspec
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer actions."""

    @hookspec
    def schedules(self, ctx: PluginContext) -> Sequence[Schedule]:
        """Run the plugin's own actions by the clock. An operator sees them with `luminai schedules list --all`, and may pause or change them."""

    @hookspec
    def job_engines(self, ctx: PluginContext) -> Sequence[JobEngine]:
        """Offer ways in which word of due jobs reaches workers; the setting ``jobs.engine`` names the one that is used."""

    @hookspec
    def event_types(self) -> Sequence[EventType]:
        """Declare the events that the plugin publishes."""

    @hookspec
    def aggregates(self, ctx: PluginContext) -> Sequence[Aggregate]:
        """Declare what the plugin keeps as streams of events."""

    @hookspec
    def subscriptions(self, ctx: PluginContext) -> Sequence[Subscription]:
        """Listen to events."""

    @hookspec
    def channels(self, ctx: PluginContext) -> Sequence[Channel]:
        """Declare the rooms in which the plugin tells people what happens."""

    @hookspec
    def webhooks(self, ctx: PluginContext) -> Sequence[Webhook]:
        """Receive webhooks."""

    @hookspec
    def authenticators(self, ctx: PluginContext) -> Sequence[Authenticator]:
        """Accept further kinds of credentials."""

    @hookspec
    def secret_backends(self, ctx: PluginContext) -> Sequence[SecretBackend]:
        """Resolve further kinds of secret references."""

    @hookspec
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Open points of its own to other plugins."""

    @hookspec
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Put values into other plugins' extension points."""


class Lifecycle:
    """What the host tells a plugin, and asks of it."""

    @hookspec
    async def start(self, ctx: PluginContext) -> None:
        """Make ready to serve; raise ``NotReady`` to be tried again, anything else fails the plugin."""

    @hookspec
    async def ready(self, ctx: PluginContext) -> None:
        """Know that the generation is serving."""

    @hookspec
    async def stop(self, ctx: PluginContext) -> None:
        """Let go of what ``start`` took; called once if ``start`` was called, also when it failed."""

    @hookspec
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try the settings against the real service and return what is wrong."""

    @hookspec
    def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Yield everything that the plugin holds about ``subject``."""

    @hookspec
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Remove what the plugin holds about ``subject``, or with ``dry_run`` only say what that would be."""

    @hookspec
    async def erase_organisation(self, ctx: PluginContext, organisation: str, dry_run: bool) -> EraseReport:
        """Remove what the plugin holds for ``organisation`` beside rows of its tables with a tenant, or with ``dry_run`` only say what that would be.

        It may be asked again; raise to keep the organisation.
        """

    @hookspec
    async def before_purge(self, ctx: PluginContext, dry_run: bool) -> Sequence[PurgeItem]:
        """Remove what the plugin keeps outside the hub."""
