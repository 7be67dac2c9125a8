"""The rules about actions, schedules, subscriptions and rooms: a good plugin passes each, and each catches the plugin that breaks it."""

from typing import Any

import pytest

from luminai.testing.conformance import RULES, Outcome, RuleResult, make_subject, run_rule

HEAD = """
    import asyncio
    from typing import Annotated
    from luminai import Action, Channel, Event, EventType, InvalidInput, Schedule, Subscription, hookimpl
    from msgspec import Meta, Struct
    from sqlalchemy import Column, MetaData, String, Table, insert

    metadata = MetaData()
    marks = Table("tally__marks", metadata, Column("id", String(40), primary_key=True), Column("word", String(40)), info={"data": "internal"})
    BUILT = []

    class Given(Struct, forbid_unknown_fields=True):
        word: Annotated[str, Meta(min_length=1, max_length=40)]

    class Done(Struct):
        word: Annotated[str, Meta(max_length=40)]

    class Plugin:
        @hookimpl
        def models(self):
            return metadata
        @hookimpl
        def event_types(self):
            return [EventType(name="Marked", payload=Done, version=2)]
"""
WORK = """
        @hookimpl
        def actions(self, ctx):
            BUILT.append(1)
            def keep(session, word):
                session.execute(insert(marks).values(id=ctx.new_id("mrk"), word=word))
            async def mark(job, given):
                await asyncio.sleep(0)  # first
                def unit(session):
                    keep(session, given.word)
                    job.finish(session, Done(given.word))
                await ctx.db.write(unit)
                return Done(given.word)
            return [Action(name="mark", summary="Mark.", input=Given, output=Done, scope="tally:mark", run=mark)]
        @hookimpl
        def schedules(self, ctx):
            return [Schedule(name="nightly", action="mark", trigger="cron: 0 3 * * *", input={"word": "night"}, jitter=600)]
"""
MESSAGES = """
        @hookimpl
        def subscriptions(self, ctx):
            async def count(event, delivery):
                await asyncio.sleep(0)
                def unit(session):
                    session.execute(insert(marks).values(id=ctx.new_id("mrk"), word=event.payload["word"]))
                    delivery.finish(session)
                await ctx.db.write(unit)
            async def hear(event):
                ctx.log.info("heard", extra={"word": event.payload["word"]})
            return [
                Subscription(event="tally.Marked", handle=hear, versions=(2,)),
                Subscription(event="tally.Marked", handle=count, durable=True, versions=(1, 2)),
            ]
        @hookimpl
        def channels(self, ctx):
            async def may_join(actor, params):
                return actor.subject == params["owner"]
            async def all_may(actor, params):
                return True
            return [
                Channel(name="desk.{owner}", kinds={"marked": Done}, may_join=may_join, scope="tally:mark"),
                Channel(name="news", kinds={"marked": Done}, may_join=all_may),
            ]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        op.create_table("tally__marks", sa.Column("id", sa.String(40), primary_key=True), sa.Column("word", sa.String(40)))
"""
WHOLE = HEAD + WORK + MESSAGES
STEP_FILE = "migrations/versions/0001_init.py"
PROVIDES = '["models", "event_types", "actions", "schedules", "subscriptions", "channels"]'


def check(plugins: Any, rule: str, *changes: tuple[str, str]) -> RuleResult:
    """Run one rule against the plugin with the changes made to it."""
    code = WHOLE
    for before, after in changes:
        assert code.count(before) == 1, before
        code = code.replace(before, after)
    manifest = 'tables = true\n[scopes]\n"tally:mark" = "Mark"\n'
    plugin = plugins.make("tally", code, provides=PROVIDES, manifest=manifest, files={STEP_FILE: STEP})
    return run_rule(make_subject(plugin, installed=[plugin]), next(one for one in RULES if one.id == rule))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("B12", "1 actions"),
        ("S10", "tally.mark marks itself with its effect"),
        ("S11", "tally.mark at "),
        ("S12", "jobs of 1 actions were parked and run"),
        ("S13", "nightly at 2026-01-01 03:00 UTC (succeeded)"),
        pytest.param("S14", "tally.Marked is heard, tally.on-tally-marked marks itself with its effect", marks=pytest.mark.slow),
        ("S15", "2 channels, 1 of them with rooms of somebody"),
    ],
)
def test_good_plugin__passes(plugins: Any, rule: str, said: str) -> None:
    result = check(plugins, rule)

    assert result.outcome is Outcome.PASSED, result
    assert result.detail.startswith(said)


def test_plugin_without_any_of_it__passes_and_says_so(plugins: Any) -> None:
    plugin = plugins.make("tally", HEAD, provides='["models", "event_types"]', manifest="tables = true", files={STEP_FILE: STEP})
    subject = make_subject(plugin, installed=[plugin])

    results = [run_rule(subject, rule) for rule in RULES if rule.id in ("B12", "S10", "S11", "S12", "S13", "S14", "S15")]

    assert {(one.outcome, one.detail.rpartition(" ")[0]) for one in results} == {(Outcome.PASSED, "It has no")}


FIRST = "await asyncio.sleep(0)  # first"
EARLY = "await ctx.db.write(lambda session: keep(session, 'early'))"
RESISTS = """try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    pass"""
RAISES = ("keep(session, given.word)\n", "[][0]\n")
RENAMED = [('name="mark"', 'name=f"mark-{len(BUILT)}"'), ('action="mark"', 'action=f"mark-{len(BUILT)}"')]
NO_BOUND = ("Meta(max_length=40)]\n\n    class Plugin", "Meta(min_length=1)]\n\n    class Plugin")


@pytest.mark.parametrize(
    ("rule", "changes", "said"),
    [
        ("B12", [("class Given(Struct, forbid_unknown_fields=True)", "class Given(Struct)")], "Given takes unknown fields"),
        ("B12", [("min_length=1, max_length=40)]", "min_length=1)]")], "Given.word has no max_length"),
        ("B12", [("min_length=1, max_length=40)]", "max_length=40)]\n        number: int = 0")], "Given.number has no ge"),
        ("B12", [('scope="tally:mark", run', 'scope="tally:other", run')], "tally:other"),
        ("S10", [("job.finish(session, Done(given.word))", "pass")], "tried again after its effect, leaves 1 too many"),
        ("S10", [RAISES], "(job-failed)"),
        ("S10", [(FIRST, f"{EARLY}\n                raise InvalidInput('No.', code='tally.no')")], "is refused (tally.no), and leaves 1 too many"),
        ("S11", [(FIRST, EARLY)], "leaves 1 too many"),
        ("S11", [(FIRST, RESISTS)], "cancelled at await 1, went on"),
        ("S12", RENAMED, "with the plugin back, a job of mark-2 is parked"),
        ("S13", [RAISES], "its job ends dead (job-failed)"),
        ("S14", [("delivery.finish(session)", "pass")], "leaves 1 too many"),
        ("S14", [("versions=(1, 2)", "versions=(1,)")], "none of the versions that its handler knows"),
        ("S14", [('extra={"word": event.payload["word"]}', 'extra={"word": event.payload["words"]}')], "raises KeyError"),
        ("S15", [('actor.subject == params["owner"]', "True")], "tally.desk.nobodys-0 answers a stranger with 200"),
        ("S15", [NO_BOUND], "marked: Done.word has no max_length"),
    ],
)
def test_rule__catches_the_plugin_that_breaks_it(plugins: Any, rule: str, changes: list[tuple[str, str]], said: str) -> None:
    result = check(plugins, rule, *changes)

    assert result.outcome is Outcome.FAILED, result
    assert said in result.detail


def test_subscription__to_a_plugin_that_is_not_installed__cannot_be_found_out(plugins: Any) -> None:
    result = check(plugins, "S14", ('event="tally.Marked", handle=count', 'event="other.Thing", handle=count'))

    assert (result.outcome, result.detail) == (Outcome.SKIPPED, "other, whose events it hears, is not installed")
