"""One thing that an operator should look at."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from luminai.contracts.errors import ProblemItem


class Fix(Struct, frozen=True, kw_only=True):
    """An action that the hub can take (``action`` is set), or steps for a person."""

    action: Literal["", "enable", "restart"] = ""
    label: str = ""
    steps: tuple[str, ...] = ()


class Ignored(Struct, frozen=True, kw_only=True):
    """Who put an item aside, when and why."""

    reason: str
    ignored_by: str
    ignored_at: datetime


class Repair(Struct, frozen=True, kw_only=True):
    """One item. ``id`` is stable while the problem is the same, so that an ignored one stays ignored."""

    id: str
    severity: Literal["error", "warning", "notice"]
    title: str
    cause: str
    effect: str
    fix: Fix
    plugin: str = ""
    details: tuple[str, ...] = ()
    ignored: Ignored | None = None


def line_of(item: ProblemItem) -> str:
    """Return a finding as a line with its place."""
    return f"{item.file}:{item.line} {item.pointer}: {item.detail}".lstrip(":0 ")
