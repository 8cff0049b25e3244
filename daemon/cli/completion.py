"""`stemd completion`."""

import click
from click.shell_completion import get_completion_class

from stemd.daemon.cli.options import Choice
from stemd.daemon.cli.terminal import echo


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    For bash: eval "$(stemd completion bash)", in ~/.bashrc.
    """
    if found := get_completion_class(shell):
        group = context.find_root().command
        echo(*found(group, {}, "stemd", "_STEMD_COMPLETE").source().splitlines())
