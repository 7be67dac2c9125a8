"""Migration steps before they run: what they say of themselves, and their SQL."""

from __future__ import annotations

import ast
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from luminai.data.migrations import MigrationSource, config_of, current, pending

if TYPE_CHECKING:
    from luminai.data.database import HubDatabase


class Step(Struct, frozen=True, kw_only=True):
    """A step that waits.

    Attributes:
        owner: ``core`` or the plugin's id.
        step: Its revision.
        below: The revision that it builds on, "" for the first.
        message: First line of its docstring.
        file: Name of its file.
    """

    owner: str
    step: str
    below: str
    message: str
    file: str


async def waiting_steps(database: HubDatabase, sources: Sequence[MigrationSource]) -> list[Step]:
    """Return the steps that wait, in the order in which they would run.

    Raises:
        MigrationFailed: the database is ahead of the code (code ``database-ahead``).
    """
    waiting, have = await pending(database, sources), await current(database, sources)
    return [step for source in sources for step in _steps(source, waiting.get(source.owner_id, ()), have[source.owner_id])]


def sql_of(source: MigrationSource, step: Step, dialect: str) -> tuple[str, str]:
    """Return the SQL of a step through Alembic's offline mode, and why there is none ("" when there is).

    The step's own code runs, against no database. A step that has to look at the tables first has no SQL that could be written down beforehand.
    """
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = config_of(source)
    script = ScriptDirectory.from_config(config)
    text = io.StringIO()

    def revisions(revision: Any, _: Any) -> Any:
        return script._upgrade_revs(step.step, revision)  # type: ignore[no-untyped-call,unused-ignore]  # noqa: SLF001 - alembic.command does the same

    try:
        with EnvironmentContext(config, script, fn=revisions, as_sql=True, starting_rev=step.below or None, destination_rev=step.step) as context:
            context.configure(
                dialect_name=dialect,
                dialect_opts={"paramstyle": "named"},
                literal_binds=True,
                output_buffer=text,
                target_metadata=source.metadata,
                version_table=source.version_table,
                render_as_batch=dialect == "sqlite",
                transaction_per_migration=True,
                transactional_ddl=True,
            )
            with context.begin_transaction():
                context.run_migrations()
    except Exception as error:  # noqa: BLE001 - a step may do anything
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        return "", f"it cannot be told without the tables ({reason}); `luminai db rehearse` runs it on a copy"
    return text.getvalue().strip(), ""


def _steps(source: MigrationSource, revisions: Sequence[str], have: str) -> list[Step]:
    files = source.files()
    found: list[Step] = []
    for revision in revisions:
        path = files[revision]
        found.append(Step(owner=source.owner_id, step=revision, below=have, message=_message(path.read_bytes()), file=path.name))
        have = revision
    return found


def _message(code: bytes) -> str:
    try:
        text = ast.get_docstring(ast.parse(code)) or ""
    except (SyntaxError, ValueError):
        return "(the file is not Python)"
    return text.partition("\n")[0]
