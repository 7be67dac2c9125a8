"""``luminai completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from luminai.cli.terminal import HubTerminal


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      luminai completion bash > ~/.local/share/bash-completion/completions/luminai
      luminai completion zsh > ~/.zfunc/_luminai
      luminai completion fish > ~/.config/fish/completions/luminai.fish
    """
    terminal: HubTerminal = ctx.obj
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    terminal.write(kind(ctx.find_root().command, {}, "luminai", "_LUMINAI_COMPLETE").source() + "\n")
