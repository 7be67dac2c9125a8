"""What became of each plugin: one report for people and machines."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from luminai.contracts.errors import ProblemItem
from luminai.contracts.manifest import Manifest


class PluginState(StrEnum):
    """Where a plugin stands."""

    AVAILABLE = "available"
    DISABLED = "disabled"
    ENABLED = "enabled"
    BLOCKED = "blocked"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Phase(StrEnum):
    """The phases of a plugin's way up; the first six need none of its code."""

    DISCOVER = "discover"
    MANIFEST = "manifest"
    API = "api"
    GRANTS = "grants"
    CONFIG = "config"
    ORDER = "order"
    IMPORT = "import"
    BIND = "bind"
    COLLECT = "collect"
    CHECK = "check"
    MIGRATE = "migrate"
    START = "start"
    READY = "ready"


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a plugin does not run: phase, stable code, the cause chain (outermost first) and what to do."""

    phase: Phase
    code: str
    reason: str
    causes: tuple[str, ...] = ()
    remedy: str = ""
    errors: tuple[ProblemItem, ...] = ()


class PluginStatus(Struct, frozen=True, kw_only=True):
    """One plugin: declared in config, installed on disk, running in this process.

    ``conformance`` is the level that was computed here for exactly these files, empty when none was.
    """

    id: str
    title: str = ""
    summary: str = ""
    version: str = ""
    state: PluginState
    phase: Phase
    reason: str = ""
    remedy: str = ""
    code: str = ""
    causes: tuple[str, ...] = ()
    errors: tuple[ProblemItem, ...] = ()
    declared: bool = False
    installed: bool = True
    running: bool = False
    on_failure: str = "optional"
    requires: dict[str, str] = {}
    provides: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    tables: bool = False
    scopes: dict[str, str] = {}
    grants: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    timings_ms: dict[str, float] = {}
    conformance: str = ""


class StartupReport(Struct, frozen=True, kw_only=True):
    """The report of one start: every known plugin, in start order, then the ones that do not run."""

    generation: int
    at: datetime
    ready: bool
    degraded: bool
    safe_mode: str = ""
    plugins: tuple[PluginStatus, ...]
    total_ms: float = 0.0


def manifest_fields(manifest: Manifest | None) -> dict[str, object]:
    """Return the status fields that come from a manifest."""
    if manifest is None:
        return {}
    return {
        "title": manifest.title,
        "summary": manifest.summary,
        "requires": dict(manifest.requires),
        "provides": tuple(manifest.provides),
        "paths": manifest.claimed_paths,
        "tables": manifest.tables,
        "scopes": dict(manifest.scopes),
        "grants": tuple(manifest.grants),
        "network": manifest.network,
    }


def cause_chain(error: BaseException) -> tuple[str, ...]:
    """Return the chain of causes of an exception, outermost first, one line each."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 10:
        text = str(current).strip().splitlines()
        chain.append(f"{type(current).__name__}: {text[0][:500]}" if text else type(current).__name__)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return tuple(chain)


def render(report: StartupReport) -> str:
    """Return the report for people: one line a plugin, then what to do about each that does not run."""
    lines = []
    width = max((len(status.id) for status in report.plugins), default=0)
    for status in report.plugins:
        if status.state is PluginState.AVAILABLE:
            continue
        mark = {"enabled": "+", "disabled": "-"}.get(status.state, "!")
        lines.append(f"  {mark} {status.id:<{width}}  {status.state}" + (f" at {status.phase}: {status.reason}" if mark == "!" else ""))
        if mark == "!":
            lines += [f"      because {cause}" for cause in status.causes]
            lines += [f"      {item.file}:{item.line} {item.pointer}: {item.detail} {item.hint}".rstrip() for item in status.errors[:20]]
            if status.remedy:
                lines.append(f"      do: {status.remedy}")
    return "\n".join(lines)
