"""The root of the command: global options, lazy groups, plugins' commands."""

from __future__ import annotations

import difflib
import os
import sys
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Final

import click

from luminai.cli.exits import INTERRUPTED, exit_code
from luminai.contracts.errors import HubError, NotFound

CORE: Final = {
    "actions": ("luminai.cli.actions:actions", "See what plugins can do beside requests, and have it done."),
    "alerts": ("luminai.cli.alerts:alerts", "See what the hub warns of, and try who is told."),
    "audit": ("luminai.cli.audit:audit", "Read, prove and verify the audit log."),
    "backup": ("luminai.cli.backup:backup", "Back up into an encrypted file, check and restore it."),
    "completion": ("luminai.cli.completion:completion", "Print the shell completion script."),
    "config": ("luminai.cli.config:config", "Explain and check the configuration."),
    "db": ("luminai.cli.db:db", "Migrate the database."),
    "identity": ("luminai.cli.people:identity", "See and rotate the keys that sign access tokens."),
    "endpoints": ("luminai.cli.endpoints:endpoints", "Send events to other services as signed webhooks; see what came of it."),
    "events": ("luminai.cli.events:events", "See what happened, follow a chain of events, catch a subscription up."),
    "jobs": ("luminai.cli.jobs:jobs", "See what runs beside requests; cancel, retry, discard and pause it."),
    "keys": ("luminai.cli.keys:keys", "Make, list and revoke API keys."),
    "mail": ("luminai.cli.mail:mail", "See letters that wait or failed, retry and discard them."),
    "manifest": ("luminai.cli.manifest:manifest", "Say what this hub can do, for agents."),
    "metrics": ("luminai.cli.metrics:metrics", "See how long things take, and get a dashboard."),
    "organisations": ("luminai.cli.organisations:organisations", "See and change organisations and who belongs to them."),
    "people": ("luminai.cli.people:people", "See, invite, suspend and restore people, edit roles."),
    "permissions": ("luminai.cli.permissions:permissions", "Explain why somebody may do something, or may not."),
    "plugins": ("luminai.cli.plugins:plugins", "See plugins, change them in the running hub, find what is wrong."),
    "privacy": ("luminai.cli.privacy:privacy", "See what the hub holds about people, export and erase them."),
    "repairs": ("luminai.cli.repairs:repairs", "See what needs a look, fix it, or put it aside."),
    "schedules": ("luminai.cli.schedules:schedules", "Have actions run by the clock; see, change, pause and try out schedules."),
    "serve": ("luminai.cli.serve:serve", "Run the hub."),
    "setup": ("luminai.cli.keys:setup", "Become the operator with the one-time set-up token."),
    "upgrade": ("luminai.cli.upgrade:upgrade", "Rehearse another version of the hub."),
    "status": ("luminai.cli.status:status", "Show how the hub is."),
    "vault": ("luminai.cli.vault:vault", "Look at the encryption of stored data, change its key."),
    "webhooks": ("luminai.cli.webhooks:webhooks", "See webhook deliveries, retry or discard them."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and one line; imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*CORE, *_plugin_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        target = CORE.get(cmd_name) or _plugin_commands(ctx).get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target[0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; an unknown one names the nearest."""
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None:
            off = _plugin_commands(ctx, enabled=False).get(name)
            if off:
                raise NotFound(
                    f"The command {name} belongs to a plugin that is off.", code="plugin-off", hint=f"Run `luminai plugins enable {off[2]}`."
                )
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            raise click.UsageError(f"There is no command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        plugins = _plugin_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, CORE[name][1]) for name in sorted(CORE)])
        if plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, plugins[name][1]) for name in sorted(plugins)])


def _plugin_commands(ctx: click.Context, *, enabled: bool = True) -> dict[str, tuple[str, str, str]]:
    """Return target, summary and plugin of each command in the manifests of plugins that are on (or all)."""
    from luminai.cli.installed import plugin_commands

    root = ctx.find_root()
    known: dict[bool, Any] = root.meta.setdefault("luminai.commands", {})
    if enabled not in known:
        path = root.params.get("config_file") or os.environ.get("LUMINAI_CONFIG")
        known[enabled] = plugin_commands(path, enabled=enabled)
    found: dict[str, tuple[str, str, str]] = known[enabled]
    return found


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog="See also: `luminai COMMAND --help`, and docs/ of the hub."
)
@click.version_option(package_name="luminai", prog_name="luminai")
@click.option("--config", "config_file", metavar="FILE", help="Configuration of this machine's hub (default ./config.toml).")
@click.option("--url", metavar="URL", help="Which hub to talk to (default http://127.0.0.1:8000).")
@click.option(
    "--output",
    type=click.Choice(["auto", "json", "jsonl", "table"]),
    default="auto",
    envvar="LUMINAI_OUTPUT",
    help="auto: table on a terminal, JSON when piped.",
)
@click.option("--pretty", is_flag=True, help="Indent JSON.")
@click.option("--fields", metavar="A,B", help="Print only these fields.")
@click.option("-q", "--quiet", is_flag=True, help="No remarks on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="More remarks on stderr.")
@click.option("--no-color", is_flag=True, envvar="LUMINAI_NO_COLOR", help="No colours.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True, metavar="S", help="Longest wait for the hub, in seconds."
)
@click.option("--yes", is_flag=True, help="Answer yes to questions.")
@click.pass_context
def luminai(ctx: click.Context, /, config_file: str | None, url: str | None, fields: str | None, **options: Any) -> None:
    """LuminAI Hub: one self-hosted runtime on which AI products live as plugins.

    \b
    Examples:
      luminai serve
      luminai chat "What is a generation?"
      luminai plugins list
    """
    from luminai.cli.terminal import HubTerminal, Options

    chosen = tuple(name.strip() for name in fields.split(",") if name.strip()) if fields else ()
    ctx.obj = HubTerminal(Options(config=config_file, url=url, fields=chosen, **options), ctx.with_resource(ExitStack()))


def main() -> None:
    """Run the command and leave with its exit code."""
    try:
        result = luminai.main(prog_name="luminai", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except HubError as error:
        from luminai.cli.output import show_error, use_color

        no_color = "--no-color" in sys.argv or bool(os.environ.get("LUMINAI_NO_COLOR"))
        show_error(error, as_json=not sys.stderr.isatty(), color=use_color(sys.stderr, no_color=no_color))
        sys.exit(exit_code(error))
    sys.exit(result if isinstance(result, int) else 0)
