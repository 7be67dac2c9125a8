"""Keeps the serving generation, and swaps in the next one when operators change something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from luminai.config.layers import Configuration
from luminai.config.settings import Settings
from luminai.contracts.errors import Conflict, HubError, ProblemItem, Unavailable
from luminai.host.builder import Builder
from luminai.host.desired import Desired, DesiredStore
from luminai.host.discovery import InstalledPlugin
from luminai.host.generation import Generation, stop_plugins
from luminai.host.loading import Loaded
from luminai.host.plan import Plan
from luminai.host.report import Failure
from luminai.host.runtime import Runtime
from luminai.host.wished_plan import plan_with_wishes
from luminai.http.edge import Edge
from luminai.http.table import AppEntry, PrefixTable

_log = logging.getLogger("luminai.host")
CORE_TABLES: Final = tuple(name for name in Settings.__struct_fields__ if name != "plugins")


class Outcome(Struct, frozen=True, kw_only=True):
    """What a change did, or would do with ``dry_run``.

    Attributes:
        revision: The wishes' revision that is served now.
        generation: The serving generation of this process.
        built: Plugins that were built anew, in start order.
        stopped: Plugins that were stopped and not built anew.
        restart_required: The wish is kept and takes effect at the next start, because of ``reasons``.
    """

    revision: int
    generation: int
    built: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    restart_required: bool = False
    reasons: tuple[str, ...] = ()
    dry_run: bool = False


class ChangeRefused(HubError):
    """The change was not made; the generation before goes on serving. ``errors`` names each problem."""

    status, default_code, title = 409, "change-refused", "Change refused"


class Supervisor:
    """One in a process. All changes pass here, one after the other.

    Args:
        config: The effective configuration without wishes.
        installed: Finds the installed plugins; asked again at each change.
        only: Ids that may run; None for all.
        drain_seconds: How long a replaced generation may finish its requests.
        swapped: Awaited after each swap, before ``ready`` hooks.
    """

    def __init__(
        self,
        config: Configuration,
        installed: Callable[[], list[InstalledPlugin]],
        runtime: Runtime,
        desired: DesiredStore,
        edge: Edge,
        core: AppEntry,
        *,
        only: frozenset[str] | None,
        drain_seconds: float,
        swapped: Callable[[Generation], Awaitable[None]],
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.desired = desired
        self.revision = 0
        self.problem = ""
        self.generation: Generation
        self._installed = installed
        self._edge = edge
        self._core = core
        self._only = only
        self._drain_seconds = drain_seconds
        self._swapped = swapped
        self._changing = asyncio.Lock()
        self._closed = False
        self._retiring: set[asyncio.Task[None]] = set()

    async def first(self) -> Generation:
        """Build generation 1 from configuration and wishes. Nothing serves before ``take_over``."""
        self.revision, wishes = await self.desired.state()
        plan = plan_with_wishes(self.config, self._installed(), wishes, only=self._only)
        return await Builder(1, plan, self.runtime, core=self._core).build()

    async def take_over(self, generation: Generation) -> None:
        """Have ``generation`` serve from now on, and retire the one before."""
        before = getattr(self, "generation", None)
        old_table = self._edge.table
        generation.wire()
        self._edge.table = generation.table
        self.generation = generation
        if before is not None:
            running = {id(loaded) for loaded in generation.plugins}
            replaced = [loaded for loaded in before.plugins if id(loaded) not in running]
            task = asyncio.get_running_loop().create_task(self._retire(old_table, replaced), name=f"luminai:retire-{before.number}")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        await self._swapped(generation)
        await generation.announce_ready(seconds=self.runtime.plugin_seconds)

    async def change(
        self,
        update: Mapping[str, Desired | None],
        *,
        by: str,
        summary: str,
        based_on: int | None = None,
        cascade: bool = False,
        dry_run: bool = False,
        renew: frozenset[str] = frozenset(),
    ) -> Outcome:
        """Take wishes in and serve by them: build, start, keep the wish, swap. When anything fails, all stays as it was.

        Args:
            update: Wishes by plugin id, None takes one out.
            based_on: The revision that the caller looked at.
            cascade: Also stop what requires a plugin that is turned off.
            dry_run: Only tell what would happen.
            renew: Plugins to build anew although nothing about them changed.

        Raises:
            ChangeRefused: with every problem; or dependents would stop (code ``still-required``).
            Conflict: somebody else was faster (code ``revision-changed``).
        """
        async with self._changing:
            if self._closed:
                raise Unavailable("The hub is stopping.", code="stopping", retry_after=5)
            revision, wishes = await self.desired.state()
            if based_on is not None and based_on != revision:
                raise Conflict(f"Plugins were changed meanwhile: revision {revision}, not {based_on}.", code="revision-changed", hint="Look again.")
            wished = {plugin_id: wish for plugin_id, wish in (wishes | dict(update)).items() if wish is not None}
            plan = await asyncio.to_thread(plan_with_wishes, self.config, self._installed(), wished, only=self._only, before=self.generation.plan)
            self._refuse(plan, frozenset(update) | renew, {}, cascade=cascade)
            reasons = self._restart_reasons(plan, renew)
            if dry_run or reasons:
                if reasons and not dry_run:
                    revision = await self.desired.commit(update, by=by, summary=summary, based_on=revision, renewed=renew)
                return self._preview(plan, renew, revision, reasons, dry_run=dry_run)
            generation = await self._build(plan, renew)
            try:
                revision = await self.desired.commit(update, by=by, summary=summary, based_on=revision, renewed=renew)
            except BaseException:
                await self._discard(generation)
                raise
            return await self._swap(generation, revision)

    async def reload(self, config: Configuration) -> Outcome:
        """Serve by another configuration (its files were edited); wishes stay.

        Raises:
            ChangeRefused: with every problem; the old configuration stays.
        """
        async with self._changing:
            if self._closed:
                raise Unavailable("The hub is stopping.", code="stopping", retry_after=5)
            revision, wishes = await self.desired.state()
            plan = await asyncio.to_thread(plan_with_wishes, config, self._installed(), wishes, only=self._only)
            self._refuse(plan, frozenset(config.settings.plugins), self.generation.failures, cascade=True)
            reasons = [f"[{name}] changed" for name in CORE_TABLES if config.table.get(name) != self.config.table.get(name)]
            reasons += self._restart_reasons(plan, frozenset())
            if reasons:
                return self._preview(plan, frozenset(), revision, reasons, dry_run=False)
            generation = await self._build(plan, frozenset())
            self.config = config
            return await self._swap(generation, revision)

    async def follow(self) -> bool:
        """Serve by what other processes changed, build anew what they built anew; return whether there was any. Problems are kept in ``problem``."""
        if await self.desired.revision() == self.revision:
            return False
        async with self._changing:
            if self._closed:
                raise Unavailable("The hub is stopping.", code="stopping", retry_after=5)
            revision, wishes, renew = await self.desired.since(self.revision)
            if revision == self.revision:
                return False
            plan = await asyncio.to_thread(plan_with_wishes, self.config, self._installed(), wishes, only=self._only, before=self.generation.plan)
            try:
                reasons = self._restart_reasons(plan, renew)
                if reasons:
                    self.problem = "restart required: " + "; ".join(reasons)
                else:
                    await self._swap(await self._build(plan, renew), revision)
            except ChangeRefused as refused:
                self.problem = "; ".join(item.detail for item in refused.errors)
                _log.error("follow.failed", extra={"revision": revision, "reason": self.problem})
            self.revision = revision
            return True

    async def close(self) -> None:
        """Let a change that is under way end, take no further one, and wait for what was replaced."""
        async with self._changing:
            self._closed = True
        await self.settle()

    async def settle(self) -> None:
        """Wait until every replaced generation is drained and stopped."""
        while self._retiring:
            await asyncio.gather(*self._retiring)

    async def _build(self, plan: Plan, renew: frozenset[str]) -> Generation:
        builder = Builder(self.generation.number + 1, plan, self.runtime, core=self._core, previous=self.generation, renew=renew)
        generation = await builder.build()
        failed = [plugin_id for plugin_id in generation.tried if plugin_id in generation.failures]
        if failed:
            await self._discard(generation)
            raise _refusal({plugin_id: generation.failures[plugin_id] for plugin_id in sorted(failed)})
        return generation

    async def _swap(self, generation: Generation, revision: int) -> Outcome:
        before = self.generation
        self.revision, self.problem = revision, ""
        await self.take_over(generation)
        running = {loaded.id for loaded in generation.plugins}
        return Outcome(
            revision=revision,
            generation=generation.number,
            built=tuple(loaded.id for loaded in generation.plugins if loaded.id in generation.fresh),
            stopped=tuple(loaded.id for loaded in before.plugins if loaded.id not in running),
        )

    async def _discard(self, generation: Generation) -> None:
        await stop_plugins([loaded for loaded in generation.plugins if loaded.id in generation.fresh], seconds=self._drain_seconds)
        self._forget_secret_backends()

    async def _retire(self, table: PrefixTable, replaced: list[Loaded]) -> None:
        owners = frozenset(loaded.id for loaded in replaced)
        if not await table.drained(self._drain_seconds / 2):
            table.tell_to_reconnect(owners)
            if not await table.drained(self._drain_seconds / 2):
                _log.warning("generation.drain.late", extra={"generation": table.generation, "requests": table.inflight})
        await stop_plugins(replaced, seconds=self._drain_seconds)
        if not table.inflight:
            table.forget()
        self._forget_secret_backends()

    def _forget_secret_backends(self) -> None:
        """Keep only those of the serving generation."""
        served = [one for loaded in self.generation.plugins for one in loaded.contributions.get("secret_backends", ())]
        backends = self.runtime.secret_backends
        for scheme in list(backends):
            if all(one.scheme != scheme for one in served):
                del backends[scheme]
        backends.update({one.scheme: one for one in served})

    def _refuse(self, plan: Plan, targets: frozenset[str], known: Mapping[str, Failure], *, cascade: bool) -> None:
        """Raise for what the plan alone shows to be wrong with ``targets``, apart from ``known`` failures."""
        planned = {one.manifest.id for one in plan.order}
        lost = [loaded.id for loaded in self.generation.plugins if loaded.id not in planned]
        broken = {one: failure for one, failure in plan.failures.items() if one in targets and failure != known.get(one)}
        dependents = [one for one in lost if one not in targets and one in plan.failures and plan.failures[one].code == "needs-plugin"]
        vital = [one for one in dependents if plan.settings.get(one) is not None and plan.settings[one].on_failure == "required"]
        if dependents and (not cascade or vital):
            names = ", ".join(vital or dependents)
            hint = "It is marked required in config.toml." if vital and cascade else "Turn those off first, or send cascade (command: --cascade)."
            raise ChangeRefused(f"Still required by: {names}.", code="still-required", hint=hint)
        if broken:
            raise _refusal(broken)

    def _restart_reasons(self, plan: Plan, renew: frozenset[str]) -> list[str]:
        planned = {one.manifest.id: one for one in plan.order}
        reasons = []
        for loaded in self.generation.plugins:
            after = planned.get(loaded.id)
            if after is not None and not after.differs(loaded.planned) and loaded.id not in renew:
                continue
            old = loaded.planned.installed
            if after is not None and (after.installed.version, after.installed.package_dir) != (old.version, old.package_dir):
                reasons.append(f"{loaded.id} {after.installed.version} is installed, {old.version} is loaded: new code needs a new process")
            elif loaded.planned.manifest.reload == "restart":
                reasons.append(f"{loaded.id} cannot be swapped in a running hub, says its manifest")
        return reasons

    def _preview(self, plan: Plan, renew: frozenset[str], revision: int, reasons: list[str], *, dry_run: bool) -> Outcome:
        same: set[str] = set()
        for planned in plan.order:
            before = self.generation.loaded(planned.manifest.id)
            if before and before.id not in renew and not before.planned.differs(planned) and same >= planned.manifest.requires.keys():
                same.add(before.id)
        planned_ids = [planned.manifest.id for planned in plan.order]
        failed = self.generation.failures
        return Outcome(
            revision=revision,
            generation=self.generation.number,
            built=tuple(one for one in planned_ids if one not in same and one not in failed),
            stopped=tuple(loaded.id for loaded in self.generation.plugins if loaded.id not in planned_ids),
            restart_required=bool(reasons),
            reasons=tuple(reasons),
            dry_run=dry_run,
        )


def _refusal(failures: Mapping[str, Failure]) -> ChangeRefused:
    roots_first = sorted(failures.items(), key=lambda pair: pair[1].code in ("blocked", "needs-plugin"))
    items = [
        item
        for plugin_id, failure in roots_first
        for item in (
            ProblemItem(detail=f"{plugin_id} at {failure.phase}: {failure.reason}", pointer=plugin_id, code=failure.code, hint=failure.remedy),
            *failure.errors,
        )
    ]
    names = ", ".join(failures)
    return ChangeRefused(f"{names} cannot run that way; the generation before goes on serving.", errors=items, hint=items[0].hint)
