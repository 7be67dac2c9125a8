"""The conformance suite: rules as data, run against an installed plugin; the level is computed, never claimed."""

from luminai.testing.conformance.catalogue import RULES, rules_table
from luminai.testing.conformance.rules import LEVELS, CannotTell, Level, Outcome, Result, Rule, RuleBroken, RuleResult, reaches
from luminai.testing.conformance.running import check_plugin, make_result, make_subject, rules_up_to, run_rule, run_rules
from luminai.testing.conformance.subject import Subject

__all__ = [
    "LEVELS",
    "RULES",
    "CannotTell",
    "Level",
    "Outcome",
    "Result",
    "Rule",
    "RuleBroken",
    "RuleResult",
    "Subject",
    "check_plugin",
    "make_result",
    "make_subject",
    "reaches",
    "rules_table",
    "rules_up_to",
    "run_rule",
    "run_rules",
]
