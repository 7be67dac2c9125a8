"""``luminai plugins bisect``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress

import click

from luminai.cli.exits import FAILED, INTERRUPTED
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Conflict


class _NoMoreRuns(Exception):
    """The bound on the number of runs is reached."""


class _Runs:
    """Runs the command, says how each run went, and remembers the smallest set that failed."""

    def __init__(self, terminal: HubTerminal, command: tuple[str, ...], *, seconds: float, repeat: int, most: int) -> None:
        self.count = 0
        self.smallest: frozenset[str] | None = None
        self._terminal = terminal
        self._command = command
        self._seconds = seconds
        self._repeat = repeat
        self._most = most

    def fails(self, chosen: frozenset[str]) -> bool:
        """Tell whether any run with these plugins fails."""
        for _ in range(self._repeat):
            if self.count >= self._most:
                raise _NoMoreRuns
            self.count += 1
            began = time.monotonic()
            code = _run(self._command, chosen, self._seconds)
            verdict = "good" if code == 0 else "bad, no end" if code is None else f"bad, exit code {code}"
            self._terminal.say(f"run {self.count}: {len(chosen)} plugins, {time.monotonic() - began:.1f} s: {verdict}")
            if code != 0:
                if self.smallest is None or len(chosen) < len(self.smallest):
                    self.smallest = chosen
                return True
        return False


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--run-timeout", type=click.FloatRange(1, 3600), default=120.0, show_default=True, metavar="S", help="A run that takes longer failed.")
@click.option("--repeat", type=click.IntRange(1, 20), default=1, show_default=True, help="Runs a set; one that fails makes it bad.")
@click.option("--max-runs", type=click.IntRange(2, 10_000), default=200, show_default=True, help="Give up after this many runs.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def bisect(terminal: HubTerminal, run_timeout: float, repeat: int, max_runs: int, command: tuple[str, ...]) -> int:
    """Find the plugin, or the pair, that makes COMMAND fail: it is run again and again with fewer of the enabled plugins.

    COMMAND must fail (exit code other than 0) with all enabled plugins, and go well with none. Which plugins may run reaches it as LUMINAI_ONLY,
    which `luminai serve` and every command that starts a hub of its own honour. A plugin always brings those that it requires. Exit code 1 when a
    culprit was found. After Ctrl-C or --max-runs the smallest set that failed is told.

    \b
    Examples:
      luminai plugins bisect -- luminai chat "What is a generation?"
      luminai plugins bisect --repeat 3 -- pytest tests/test_checkout.py
    """
    from luminai.host.bisect import closed, deepest_failing, once_per_set
    from luminai.host.discovery import installed_plugins

    settings = terminal.configuration().settings.plugins
    enabled = frozenset(one for one, section in settings.items() if section.enabled)
    requires = {one.id: enabled & set(one.manifest.requires) for one in installed_plugins() if one.manifest}
    runs = _Runs(terminal, command, seconds=run_timeout, repeat=repeat, most=max_runs)
    fails = once_per_set(requires, runs.fails)
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)  # the running command must not outlive this one
    try:
        if not fails(enabled):
            hint = "If it fails now and then, try --repeat 5."
            raise Conflict("The command does not fail with all enabled plugins.", code="does-not-fail", hint=hint)
        if fails(frozenset()):
            raise Conflict("The command fails without any plugin too.", code="fails-without-plugins", hint="The cause lies elsewhere.")
        culprits = deepest_failing(sorted(enabled), requires, fails)
    except (KeyboardInterrupt, _NoMoreRuns) as stopped:
        return _report_unfinished(terminal, runs, interrupted=isinstance(stopped, KeyboardInterrupt))
    needed = sorted(closed(culprits, requires) - set(culprits))
    if terminal.is_tty:
        together = " and ".join(culprits)
        terminal.write(f"{together} {'makes' if len(culprits) == 1 else 'together make'} it fail ({runs.count} runs).\n")
    else:
        terminal.emit({"culprits": culprits, "with": needed, "runs": runs.count})
    return FAILED


def _report_unfinished(terminal: HubTerminal, runs: _Runs, *, interrupted: bool) -> int:
    left = sorted(runs.smallest) if runs.smallest is not None else None
    terminal.say(f"{'Interrupted' if interrupted else 'Stopped'} after {runs.count} runs; the search is not finished.")
    if left and terminal.is_tty:
        terminal.write(f"It still fails with these {len(left)}: {', '.join(left)}.\n")
    elif not terminal.is_tty:
        terminal.emit({"culprits": None, "fails_with": left, "runs": runs.count})
    return INTERRUPTED if interrupted else FAILED


def _run(command: tuple[str, ...], chosen: frozenset[str], seconds: float) -> int | None:
    """Return the command's exit code, None when it did not end in time. What it started ends with it."""
    from luminai.host.bisect import ONLY

    env = {**os.environ, ONLY: ",".join(sorted(chosen))}
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, env=env, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603 - the caller's own command
    except OSError as error:
        raise Conflict(f"{command[0]} cannot be run: {error.strerror}.", code="command-unusable", hint="Give its full path.") from error
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # its own group: a server that it left behind would disturb the next run
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
