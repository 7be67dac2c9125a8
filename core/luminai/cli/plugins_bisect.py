"""``luminai plugins bisect``."""

from __future__ import annotations

import os
import subprocess
import time

import click

from luminai.cli.exits import FAILED
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Conflict


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--run-timeout", type=click.FloatRange(1, 3600), default=120.0, show_default=True, metavar="S", help="A run that takes longer failed.")
@click.option("--repeat", type=click.IntRange(1, 20), default=1, show_default=True, help="Runs a set; one that fails makes it bad.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def bisect(terminal: HubTerminal, run_timeout: float, repeat: int, command: tuple[str, ...]) -> int:
    """Find the plugin, or the pair, that makes COMMAND fail: it is run again and again with fewer of the enabled plugins.

    COMMAND must fail (exit code other than 0) with all enabled plugins, and go well with none. Which plugins may run reaches it as LUMINAI_ONLY,
    which `luminai serve` and every command that starts a hub of its own honour. A plugin always brings those that it requires. Exit code 1 when a
    culprit was found.

    \b
    Examples:
      luminai plugins bisect -- luminai chat "What is a generation?"
      luminai plugins bisect --repeat 3 -- pytest tests/test_checkout.py
    """
    from luminai.host.bisect import ONLY, closed, deepest_failing
    from luminai.host.discovery import installed_plugins

    settings = terminal.configuration().settings.plugins
    enabled = sorted(one for one, section in settings.items() if section.enabled)
    requires = {one.id: tuple(one.manifest.requires) for one in installed_plugins() if one.manifest}
    runs = 0

    def fails(part: frozenset[str]) -> bool:
        nonlocal runs
        chosen = sorted(closed(part, requires) & set(enabled))
        for _ in range(repeat):
            runs += 1
            began = time.monotonic()
            try:
                env = {**os.environ, ONLY: ",".join(chosen)}
                code: int | None = subprocess.run(command, env=env, capture_output=True, timeout=run_timeout, check=False).returncode  # noqa: S603 - the caller's own command
            except subprocess.TimeoutExpired:
                code = None
            except OSError as error:
                raise Conflict(f"{command[0]} cannot be run: {error.strerror}.", code="command-unusable", hint="Give its full path.") from error
            verdict = "good" if code == 0 else "bad, no end" if code is None else f"bad, exit code {code}"
            terminal.say(f"run {runs}: {len(chosen)} plugins, {time.monotonic() - began:.1f} s: {verdict}")
            if code != 0:
                return True
        return False

    if not fails(frozenset(enabled)):
        raise Conflict("The command does not fail with all enabled plugins.", code="does-not-fail", hint="If it fails now and then, try --repeat 5.")
    if fails(frozenset()):
        raise Conflict("The command fails without any plugin too.", code="fails-without-plugins", hint="The cause lies elsewhere.")
    culprits = deepest_failing(enabled, requires, fails)
    needed = sorted(closed(culprits, requires) - set(culprits))
    if terminal.is_tty:
        together = " and ".join(culprits)
        terminal.write(f"{together} {'makes' if len(culprits) == 1 else 'together make'} it fail ({runs} runs).\n")
    else:
        terminal.emit({"culprits": culprits, "with": needed, "runs": runs})
    return FAILED
