"""``nkigen-cp completion``: what makes a shell complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from nkigen_cp.cli.command import Command
from nkigen_cp.cli.output import json_option, print_json

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "nkigen-cp"
VARIABLE = "_NKIGEN_CP_COMPLETE"
"""Where click looks for what a shell wants completed; follows from the program's name."""


@click.command("completion", cls=Command, short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
@click.pass_context
def completion_command(ctx: click.Context, shell: str, *, as_json: bool) -> None:
    """Print the completion script of a shell.

    bash and zsh: put eval "$(nkigen-cp completion bash)" into the shell's start file; fish:
    nkigen-cp completion fish > ~/.config/fish/completions/nkigen-cp.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # SHELLS are those that click has
    script = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
