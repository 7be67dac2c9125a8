"""All rules, in the order in which they are run."""

from __future__ import annotations

from typing import Final

from luminai.testing.conformance import (
    gold_rules,
    import_rule,
    migration_rule,
    running_rules,
    silver_fault_rules,
    silver_rules,
    static_rules,
    swap_rule,
)
from luminai.testing.conformance.rules import Level, Rule

_BRONZE: Final = (
    Rule(
        id="B01",
        level=Level.BRONZE,
        title="The manifest is valid",
        reason="The hub judges a plugin by its manifest before any of its code runs.",
        fix="`docs/reference/manifest.md` lists every key; name a plugin API range that holds this hub's number.",
        check=static_rules.manifest_is_valid,
    ),
    Rule(
        id="B02",
        level=Level.BRONZE,
        title="The committed schema equals the settings Struct's",
        reason="Settings are judged by the file; a stale one lets wrong settings through or refuses right ones.",
        fix="Write the file anew from the Struct: `config_schema(Config)` of `luminai.testing` returns it.",
        check=static_rules.schema_is_fresh,
        needs=("B01",),
    ),
    Rule(
        id="B03",
        level=Level.BRONZE,
        title="It imports the plugin API, itself and the faces of what it requires",
        reason="Anything else of the hub may change in any release; processes, sockets and foreign libraries escape what the hub can see.",
        fix="Import from `luminai` or the top package of a plugin in `requires`; say why on the line: `import socket  # conformance: <reason>`.",
        check=static_rules.imports_are_allowed,
        needs=("B01",),
    ),
    Rule(
        id="B04",
        level=Level.BRONZE,
        title="Its import takes less than 500 ms and does nothing",
        reason="A hub imports all its plugins at each start, and must be able to look at one without effects.",
        fix="Move work into `start`, and slow imports into the functions that need them.",
        check=import_rule.import_is_quick_and_quiet,
        needs=("B01",),
    ),
    Rule(
        id="B05",
        level=Level.BRONZE,
        title="Its hooks are known and of the right kind",
        reason="A misspelt hook is never called; an async one where the hub calls a plain one gives nothing.",
        fix="`docs/reference/hooks.md` lists every hook with its arguments.",
        check=static_rules.hooks_fit,
        needs=("B01",),
    ),
    Rule(
        id="B06",
        level=Level.BRONZE,
        title="It contributes what its manifest says",
        reason="Operators decide by `provides` whether to let a plugin in.",
        fix="Name every contribution hook in `provides`, `tables` and `commands`, and nothing else.",
        check=static_rules.contributions_are_declared,
        needs=("B05",),
    ),
    Rule(
        id="B07",
        level=Level.BRONZE,
        title="It works with every other plugin off, but those it requires",
        reason="A silent dependency breaks the plugin in somebody else's hub.",
        fix="Name what it needs in `requires`; ask for anything else when it is used, and do without.",
        check=running_rules.comes_up_alone,
        needs=("B02", "B06"),
    ),
    Rule(
        id="B08",
        level=Level.BRONZE,
        title="Its names lie in its own namespace",
        reason="Two plugins must never meet in a route, a table or a name.",
        fix="Routes below the claimed `paths`, tables and indexes with the prefix `<id>__`, plain names everywhere else.",
        check=running_rules.names_are_its_own,
        needs=("B02", "B06"),
    ),
    Rule(
        id="B09",
        level=Level.BRONZE,
        title="Every route answers 401 without a credential, or is anonymous and granted",
        reason="A route that forgot its policy is open to the world.",
        fix="Give each handler `opt=policy(…)`; an anonymous one needs the grant `anonymous-routes`.",
        check=running_rules.routes_need_a_credential,
        needs=("B02", "B06"),
    ),
    Rule(
        id="B10",
        level=Level.BRONZE,
        title="Wrong settings are reported and raise nothing",
        reason="A typing error must be named with its key, not passed over and not end the hub.",
        fix="`forbid_unknown_fields=True` on the Struct, bounds with `Meta`.",
        check=running_rules.bad_settings_are_reported,
        needs=("B02", "B07"),
    ),
    Rule(
        id="B11",
        level=Level.BRONZE,
        title="Started and stopped twice, it leaves no task, thread or descriptor",
        reason="A hub swaps plugins while it runs for months.",
        fix="`ctx.spawn` for tasks, `ctx.run_sync` for threads, `ctx.own` for anything that must be closed.",
        check=running_rules.nothing_leaks,
        needs=("B07",),
    ),
)
_SILVER: Final = (
    Rule(
        id="S01",
        level=Level.SILVER,
        title="A failing lifecycle hook leaves the documented state",
        reason="What fails must be off and named, and nothing of it may stay.",
        fix="`stop` must cope with a `start` that did not end; it is called in any case.",
        check=silver_fault_rules.faults_leave_the_documented_state,
        needs=("B11",),
    ),
    Rule(
        id="S02",
        level=Level.SILVER,
        title="A hanging start meets its deadline",
        reason="One plugin that waits must not hold up the hub.",
        fix="Let a cancellation pass through `start`; `stop` waits for nothing that only a finished start sets.",
        check=silver_fault_rules.hanging_start_meets_its_deadline,
        needs=("B11",),
    ),
    Rule(
        id="S03",
        level=Level.SILVER,
        title="A start that is cancelled at any await is clean",
        reason="Operators change their mind while a plugin starts.",
        fix="Never catch `CancelledError` and go on; hand what was opened to `ctx.own` at once.",
        check=silver_fault_rules.cancelled_start_is_clean,
        needs=("S02",),
    ),
    Rule(
        id="S04",
        level=Level.SILVER,
        title="Migrations run twice, and go on after an interruption",
        reason="A power cut in the middle of an upgrade must cost nothing but time.",
        fix="Only what the transaction rolls back; no COMMIT in a step; the tables end as the models say.",
        check=migration_rule.migrations_resume,
        needs=("B08",),
    ),
    Rule(
        id="S05",
        level=Level.SILVER,
        title="Schema and Struct agree on 200 samples",
        reason="What the settings form takes must start, and what starts must be what the form takes.",
        fix="Put every limit into `Meta`; a limit in `__post_init__` is not in the schema.",
        check=silver_rules.schema_and_struct_agree,
        needs=("B02",),
    ),
    Rule(
        id="S06",
        level=Level.SILVER,
        title="Secrets never show in logs, problems, answers or exports",
        reason="A key that was printed once is lost.",
        fix="Keep `Secret` as it is and call `reveal()` only where the value is used.",
        check=silver_rules.secrets_stay_inside,
        needs=("B07",),
    ),
    Rule(
        id="S07",
        level=Level.SILVER,
        title="The README tells settings, scopes and what is left after removal",
        reason="An operator reads it before turning the plugin on, and before taking it out.",
        fix="Each settings key and each scope in back quotes, and a sentence or heading with Remove.",
        check=silver_rules.readme_tells,
        needs=("B02",),
    ),
    Rule(
        id="S08",
        level=Level.SILVER,
        title="A health check is there when it holds outside resources",
        reason="When a service that it calls is down, the hub must show it.",
        fix="Implement `health_checks`, and let each check try what it names.",
        check=silver_rules.outside_is_checked,
        needs=("B07",),
    ),
    Rule(
        id="S09",
        level=Level.SILVER,
        title="Every column of its tables has a class in the data map",
        reason="Exports, erasures and what an operator tells people rest on that map.",
        fix="`info={…}` on tables and columns, as in `docs/how-to/extend/say-what-a-column-holds.md`; `luminai privacy map` shows it.",
        check=silver_rules.columns_have_a_class,
        needs=("B08",),
    ),
)
_GOLD: Final = (
    Rule(
        id="G01",
        level=Level.GOLD,
        title="What it provides passes the contract suites",
        reason="Others rely on a contract and not on an implementation.",
        fix="Subclass the suites of `luminai.testing` in the plugin's own tests and make them pass.",
        check=gold_rules.contracts_are_kept,
        needs=("B07",),
    ),
    Rule(
        id="G02",
        level=Level.GOLD,
        title="It is typed: py.typed, and mypy strict finds nothing",
        reason="Plugins that use it are checked against its types.",
        fix="Ship `py.typed`; run `mypy --strict` on the package.",
        check=gold_rules.types_are_strict,
        needs=("B01",),
    ),
    Rule(
        id="G03",
        level=Level.GOLD,
        title="Swapped under load, no request fails",
        reason="Plugins are changed while people use them.",
        fix="Keep what outlives a swap in the database; stop ends nothing that a request still uses.",
        check=swap_rule.swap_under_load,
        needs=("B11",),
    ),
)
RULES: Final[tuple[Rule, ...]] = (*_BRONZE, *_SILVER, *_GOLD)


def rules_table() -> str:
    """Return the rules as tables in Markdown, one a level, for the documentation."""
    parts: list[str] = []
    for level in dict.fromkeys(rule.level for rule in RULES):
        parts.append(f"### {level.title()}\n\n| Rule | What | Why | How to meet it |\n|---|---|---|---|")
        parts += [f"| {rule.id} | {rule.title} | {rule.reason} | {rule.fix} |" for rule in RULES if rule.level is level]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"
