"""Runs the rules against an installed plugin and computes its level; nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from luminai import __version__
from luminai.contracts.errors import HubError, NotFound
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.testing.conformance.catalogue import RULES
from luminai.testing.conformance.rules import LEVELS, CannotTell, Level, Outcome, Result, Rule, RuleBroken, RuleResult
from luminai.testing.conformance.subject import Subject
from luminai.testing.records import only_recorded


def check_plugin(
    plugin: str | InstalledPlugin,
    *,
    level: Level = Level.GOLD,
    installed: Sequence[InstalledPlugin] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Run all rules up to ``level`` and return what they found.

    Args:
        installed: What is installed around it; what discovery finds otherwise.
        settings: The plugin's own settings; made from its schema otherwise.

    Raises:
        NotFound: no such plugin is installed.
    """
    subject = make_subject(plugin, installed=installed, settings=settings)
    return make_result(subject.plugin, run_rules(subject, rules_up_to(level)))


def make_subject(
    plugin: str | InstalledPlugin, *, installed: Sequence[InstalledPlugin] | None = None, settings: Mapping[str, Any] | None = None
) -> Subject:
    """Return the plugin ready for rules.

    Raises:
        NotFound: no such plugin is installed.
    """
    every = list(installed if installed is not None else installed_plugins())
    if isinstance(plugin, str):
        found = next((one for one in every if one.id == plugin), None)
        if found is None:
            raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list --available` shows all.")
        plugin = found
    elif all(one.id != plugin.id for one in every):
        every.append(plugin)
    return Subject(plugin, every, settings=settings)


def rules_up_to(level: Level) -> list[Rule]:
    """Return the rules of a level and of those below."""
    wanted = LEVELS[: LEVELS.index(level) + 1]
    return [rule for rule in RULES if rule.level in wanted]


def run_rules(subject: Subject, rules: Iterable[Rule]) -> Iterator[RuleResult]:
    """Yield what each rule found, as it is found."""
    done: dict[str, Outcome] = {}
    for rule in rules:
        missing = [needed for needed in rule.needs if done.get(needed, Outcome.PASSED) is not Outcome.PASSED]
        result = RuleResult(id=rule.id, outcome=Outcome.SKIPPED, detail=f"{', '.join(missing)} comes first.") if missing else run_rule(subject, rule)
        done[rule.id] = result.outcome
        yield result


def run_rule(subject: Subject, rule: Rule) -> RuleResult:
    """Return what one rule found."""
    try:
        with only_recorded():
            detail, outcome = rule.check(subject), Outcome.PASSED
    except RuleBroken as broken:
        detail, outcome = str(broken), Outcome.FAILED
    except CannotTell as unknown:
        detail, outcome = str(unknown), Outcome.SKIPPED
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and then it breaks the rule
        code = f" ({error.code})" if isinstance(error, HubError) else ""
        detail, outcome = f"{type(error).__name__}{code}: {error}", Outcome.FAILED
    return RuleResult(id=rule.id, outcome=outcome, detail=detail)


def make_result(plugin: InstalledPlugin, results: Iterable[RuleResult]) -> Result:
    """Return the whole result with the level that the outcomes give."""
    found = tuple(results)
    passed = {one.id for one in found if one.outcome is Outcome.PASSED}
    reached = Level.NONE
    for level in LEVELS:
        if not all(rule.id in passed for rule in RULES if rule.level is level):
            break
        reached = level
    return Result(plugin=plugin.id, version=plugin.version, hub=__version__, level=reached, rules=found)
