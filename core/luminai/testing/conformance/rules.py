"""Rules as data: what each asks, why, how to meet it, and the function that finds out."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from luminai.testing.conformance.subject import Subject


class Level(StrEnum):
    """What all rules up to it say about a plugin: it loads safely, it operates well, it is trusted in production."""

    NONE = "none"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


LEVELS: Final = (Level.BRONZE, Level.SILVER, Level.GOLD)
"""From low to high."""


class Outcome(StrEnum):
    """``skipped`` means that it could not be found out; a level with a skipped rule is not reached."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class RuleBroken(Exception):
    """The plugin breaks the rule; the message says where."""


class CannotTell(Exception):
    """Whether the plugin keeps the rule cannot be found out here; the message says why."""


Check = Callable[["Subject"], str]
"""Returns what was looked at. Raises ``RuleBroken`` or ``CannotTell``; anything else that it raises counts as broken."""


class Rule(Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        id: ``B…`` bronze, ``S…`` silver, ``G…`` gold; never given to another rule.
        reason: Why hubs need it.
        fix: What an author does to meet it.
        needs: Rules without which this one cannot be found out.
    """

    id: str
    level: Level
    title: str
    reason: str
    fix: str
    check: Check
    needs: tuple[str, ...] = ()


class RuleResult(Struct, frozen=True, kw_only=True):
    """What a rule found."""

    id: str
    outcome: Outcome
    detail: str


class Result(Struct, frozen=True, kw_only=True):
    """What the rules found about a plugin: ``level`` is the highest whose rules and those below all passed."""

    plugin: str
    version: str
    hub: str
    level: Level
    rules: tuple[RuleResult, ...]


def reaches(level: Level, wanted: Level) -> bool:
    """Tell whether ``level`` is ``wanted`` or higher."""
    order = (Level.NONE, *LEVELS)
    return order.index(level) >= order.index(wanted)
