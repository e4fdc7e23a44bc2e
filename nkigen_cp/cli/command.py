"""What every command shares: how errors end it, and the options that shape a solve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from nkigen_cp.cli.output import print_json
from nkigen_cp.errors import NkigenError, TargetError
from nkigen_cp.targets import TARGETS, Target, load_target

USER_ERROR = 1
MISMATCH = 3

_DEBUG = "nkigen_cp.debug"


class Command(click.Command):
    """A command that ends with one line on stderr and code 1 when what was given is wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``click.Command``, with a ``--debug`` option."""
        super().__init__(*args, **kwargs)
        debug = click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_remember_debug,
            help="Show the traceback of an error.",
        )
        self.params.append(debug)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a typed error becomes its message and the exit code."""
        try:
            return super().invoke(ctx)
        except NkigenError as error:
            if ctx.meta[_DEBUG]:
                raise
            message = " ".join(str(error).split())
            click.echo(f"error: {message}", err=True)
            if ctx.params.get("as_json"):
                print_json({"error": type(error).__name__, "message": message})
            ctx.exit(USER_ERROR)


def _remember_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    ctx.meta[_DEBUG] = value


def find_target(name: str) -> Target:
    """A shipped target by name, or the one a file describes.

    Raises:
        TargetError: it is neither, or the file is bad.
    """
    if name in TARGETS:
        return TARGETS[name]
    if Path(name).exists():
        return load_target(name)
    raise TargetError(f"--target {name!r}: allowed is {', '.join(TARGETS)} or a target file")


def _complete_target(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The shipped targets; behind anything else the shell completes a file."""
    del ctx, parameter
    names = [CompletionItem(name) for name in TARGETS if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


_SOLVE_OPTIONS = (
    click.option(
        "--target",
        default="trn2",
        show_default=True,
        metavar="NAME|PATH",
        shell_complete=_complete_target,
        help=f"One of {', '.join(TARGETS)}, or a target file.",
    ),
    click.option(
        "--effort",
        type=click.Choice(["fast", "balanced", "max"]),
        default="balanced",
        show_default=True,
        help="How long the solver may look for a better plan.",
    ),
    click.option(
        "--matmul-precision",
        type=click.Choice(["exact", "tf32", "bf16"]),
        default="exact",
        show_default=True,
        help="Width of contractions of float32 values.",
    ),
    click.option(
        "--pin",
        multiple=True,
        metavar="TENSOR.KIND=VALUE",
        help="A demand of the plan, such as scores.partition=q or fuse(scores,e).",
    ),
    click.option(
        "--pins",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Demands in a JSON file, as cp.save_pins writes it.",
    ),
)
_PROGRAM_OPTIONS = (
    click.argument("place", metavar="FILE.py:FUNCTION"),
    click.option(
        "--arg",
        "declared",
        multiple=True,
        metavar="NAME:SHAPE:DTYPE",
        help="An array the function takes, such as x:128x1024:bf16 or eps:scalar:f32.",
    ),
)


def _all(options: tuple[Callable[..., Any], ...], function: Callable[..., Any]) -> Any:
    for option in reversed(options):
        function = option(function)
    return function


def solve_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--target``, ``--effort``, ``--matmul-precision`` and pins."""
    return _all(_SOLVE_OPTIONS, function)


def program_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its program, ``place``, and its arrays, ``declared``."""
    return _all(_PROGRAM_OPTIONS, function)
