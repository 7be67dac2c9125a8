"""The conformance rules as tests, one each: ``pytest --luminai-conformance=ID``."""

from __future__ import annotations

import tomllib

import pytest

from luminai.testing.conformance import Level, Outcome, Rule, Subject, make_subject, rules_up_to, run_rule
from luminai.testing.pytest_plugin import conformance_options


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each rule of the wanted levels."""
    rules = rules_up_to(Level(conformance_options(metafunc.config)[1]))
    metafunc.parametrize("rule", [pytest.param(rule, id=f"{rule.id}-{rule.title}") for rule in rules])


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest) -> Subject:
    """Return the plugin."""
    plugin, _, settings = conformance_options(request.config)
    return make_subject(plugin, settings=tomllib.loads(settings.read_text()) if settings else None)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Return what the rules before found."""
    return {}


@pytest.mark.filterwarnings("default")
def test_rule(rule: Rule, subject: Subject, outcomes: dict[str, Outcome]) -> None:
    """The plugin keeps the rule."""
    missing = [needed for needed in rule.needs if outcomes.get(needed, Outcome.PASSED) is not Outcome.PASSED]
    if missing:
        outcomes[rule.id] = Outcome.SKIPPED
        pytest.skip(f"{', '.join(missing)} comes first.")
    result = run_rule(subject, rule)
    outcomes[rule.id] = result.outcome
    if result.outcome is Outcome.SKIPPED:
        pytest.skip(result.detail)
    if result.outcome is Outcome.FAILED:
        pytest.fail(f"{rule.id} {rule.title}: {result.detail}\nWhy: {rule.reason}\nFix: {rule.fix}", pytrace=False)
