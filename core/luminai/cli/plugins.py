"""``luminai plugins``."""

from __future__ import annotations

from typing import Final

import click

from luminai.cli.lazy import LazyCommands

TABLE: Final = {
    "list": ("luminai.cli.plugins_look:list_plugins", "List plugins."),
    "inspect": ("luminai.cli.plugins_look:inspect", "Show everything about one plugin."),
    "doctor": ("luminai.cli.plugins_look:doctor", "Find what keeps plugins from running."),
    "why": ("luminai.cli.plugins_look:why", "Explain why a plugin is on, off, blocked or failed."),
    "order": ("luminai.cli.plugins_order:order", "Show the start order with the reason of each edge."),
    "hooks": ("luminai.cli.plugins_look:hooks", "List hooks with the plugins that implement them."),
    "routes": ("luminai.cli.plugins_look:routes", "List every plugin route with its owner and who may call it."),
    "perf": ("luminai.cli.plugins_look:perf", "Show what each plugin costs."),
    "trace": ("luminai.cli.plugins_look:trace", "Watch calls of plugin code as they happen."),
    "enable": ("luminai.cli.plugins_change:enable", "Turn a plugin on."),
    "disable": ("luminai.cli.plugins_change:disable", "Turn a plugin off. Its data stays."),
    "set": ("luminai.cli.plugins_change:set_settings", "Change a plugin's settings in the running hub."),
    "restart": ("luminai.cli.plugins_change:restart", "Build a plugin anew with the settings that it has."),
    "reload": ("luminai.cli.plugins_change:reload", "Read the configuration files again and serve by them."),
    "rollback": ("luminai.cli.plugins_change:rollback", "Go back to the state before the last change."),
    "history": ("luminai.cli.plugins_change:history", "List what was changed at run time."),
    "generations": ("luminai.cli.plugins_change:generations", "Show what is wished and what each process serves."),
    "bisect": ("luminai.cli.plugins_bisect:bisect", "Find the plugin or pair that makes a command fail."),
    "diff": ("luminai.cli.plugins_diff:diff", "Compare two versions of a plugin."),
    "api": ("luminai.cli.plugins_api:api", "Print the plugin API, or what changed in it."),
    "lock": ("luminai.cli.plugins_lock:lock", "Write down exactly which plugins are installed."),
    "verify": ("luminai.cli.plugins_lock:verify", "Compare what is installed with the lock file."),
    "check": ("luminai.cli.plugins_check:check", "Run the conformance rules against a plugin."),
    "new": ("luminai.cli.new:new", "Start a new plugin from the template."),
    "purge": ("luminai.cli.purge:purge", "Remove all that a plugin left, with proof."),
}


@click.group(cls=LazyCommands, table=TABLE)
def plugins() -> None:
    """See plugins, change them in the running hub, find what is wrong.

    \b
    Examples:
      luminai plugins list
      luminai plugins disable chat
      luminai plugins doctor
    """
