"""fleet completion: the script that makes a shell complete `fleet`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash   eval "$(fleet completion bash)"        in ~/.bashrc
    zsh    eval "$(fleet completion zsh)"         in ~/.zshrc
    fish   fleet completion fish | source         in config.fish
    """
    from training.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "fleet", "_FLEET_COMPLETE").source())
