"""A database with two roles as ``luminai db roles`` makes them, for tests: one owns the tables, one serves."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from home import Home

SERVING = {"database": {"migrate": "manual"}}
"""Settings of a hub that serves as the role that owns nothing."""


class Roles:
    """A database of its own, and its URL for a superuser, for the owner of the tables, and for the role as which the hub serves."""

    def __init__(self, url: str, home: Home) -> None:
        end = uuid4().hex[:8]
        self.owner, self.app = f"luminai_owner_{end}", f"luminai_app_{end}"
        self.superuser = url
        self.as_owner = url.replace("postgres@", f"{self.owner}@")
        self.as_app = url.replace("postgres@", f"{self.app}@")
        self.home = home

    def script(self, statements: str) -> None:
        done = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.superuser], input=statements, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def two_roles(url: str, folder: Path) -> Iterator[Roles]:
    """Give the database of ``url`` to an owner and let a second role serve; both are gone at the end."""
    home = Home(folder / "home")
    home.env["DATABASE_URL"] = url
    made = Roles(url, home)
    printed = home.run("db", "roles", "--owner", made.owner, "--app", made.app)
    assert printed.returncode == 0, printed.stderr
    made.script(printed.stdout)
    try:
        yield made
    finally:
        left = f"REASSIGN OWNED BY {made.owner} TO postgres;\nDROP OWNED BY {made.app};\nDROP OWNED BY {made.owner};\n"
        made.script(left + f"DROP ROLE {made.app};\nDROP ROLE {made.owner};\n")


def asked(url: str, *statements: str, subject: str | None = None) -> list[Any]:
    """Return the first value of each statement's answer, all in one transaction; that of a refused one is its SQLSTATE, and the last."""

    import asyncpg

    async def main() -> list[Any]:
        connection = await asyncpg.connect(url)
        answers: list[Any] = []
        try:
            async with connection.transaction():
                if subject is not None:
                    await connection.execute("SELECT set_config('luminai.subject', $1, true)", subject)
                for statement in statements:
                    answers.append(await connection.fetchval(statement))  # noqa: PERF401 - those before a refusal are told too
        except asyncpg.PostgresError as error:
            answers.append(error.sqlstate)
        finally:
            await connection.close()
        return answers

    return asyncio.run(main())
