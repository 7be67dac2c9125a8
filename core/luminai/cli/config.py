"""``luminai config``: on this machine; only ``test`` runs code of a plugin."""

from __future__ import annotations

from typing import Any, Final

import click

from luminai.cli.lazy import LazyCommands

TABLE: Final = {
    "check": ("luminai.cli.config_look:check", "Check everything and list all problems at once."),
    "list": ("luminai.cli.config_look:list_settings", "List every effective value with its origin."),
    "explain": ("luminai.cli.config_look:explain", "Show every layer that sets a key, the winner last."),
    "diff": ("luminai.cli.config_wishes:diff", "Show what differs from the defaults, and what was changed at run time."),
    "adopt": ("luminai.cli.config_wishes:adopt", "Print the TOML that makes changes of run time permanent."),
    "scaffold": ("luminai.cli.config_look:scaffold", "Print a plugin's section with every setting."),
    "schema": ("luminai.cli.config_look:schema", "Print the JSON Schema of a plugin's settings or of config.toml."),
    "test": ("luminai.cli.config_try:try_plugin", "Have a plugin try its settings against the real service."),
}
OLD_NAMES: Final = {"validate": "check"}
"""Names that go on working and are not listed."""


class _Commands(LazyCommands):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, [OLD_NAMES.get(name, name) for name in args[:1]] + args[1:])


@click.group(cls=_Commands, table=TABLE)
def config() -> None:
    """Explain, check and write the configuration.

    \b
    Examples:
      luminai config check
      luminai config explain server.port
      luminai config diff
      luminai config scaffold chat
    """


def refuse_wrong_core(found: Any) -> None:
    """Refuse a configuration whose core settings are wrong: nothing can be told from it.

    Raises:
        ConfigRejected: with every problem.
    """
    from luminai.config.problems import check_core
    from luminai.contracts.errors import ConfigRejected

    problems = check_core(found)
    if problems:
        raise ConfigRejected(f"{len(problems)} problems in the configuration.", errors=problems, hint="Run `luminai config check`.")
