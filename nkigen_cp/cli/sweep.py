"""``nkigen-cp sweep``: one kernel under many sizes, types, targets and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkigen_cp.cli.build import Built, SolveOptions, build, trace_declared
from nkigen_cp.cli.command import Command, program_options, solve_options
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.plot import drawing, plot_option
from nkigen_cp.cli.program import load_function
from nkigen_cp.cli.rows import marks, row, sweep_table
from nkigen_cp.cli.symbols import OPTIONS, combinations, parse_varied, substitute


@click.command("sweep", cls=Command, short_help="Compare sizes, types, targets and options.")
@program_options
@solve_options
@click.option(
    "--vary",
    "varied",
    multiple=True,
    required=True,
    metavar="NAME=VALUE,...",
    help="Values to try: of a name in capitals in --arg (x:Sx64:f32), or of target, effort or "
    "matmul-precision. All combinations are compiled.",
)
@plot_option
@json_option
def sweep_command(
    place: str,
    declared: tuple[str, ...],
    varied: tuple[str, ...],
    plot: Path | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile a numpy function for every combination of values and compare what it costs."""
    draw = drawing(plot)
    function = load_function(place)
    base = SolveOptions(**options)
    chosen = tuple(combinations([parse_varied(text) for text in varied], declared))

    def compile_with(values: dict[str, str], what: str) -> Built:
        given = tuple(substitute(text, values) for text in declared)
        solve = replace(base, **{k: v for k, v in values.items() if k in OPTIONS})
        return build(trace_declared(function, given), solve, what)

    rows = [row(v, _later(compile_with, v, k, len(chosen))) for k, v in enumerate(chosen, 1)]
    console = Console(quiet=as_json)
    console.print(sweep_table(rows))
    draw(marks(rows), place, console)
    if as_json:
        print_json({"rows": rows})


def _later(
    compile_with: Callable[[dict[str, str], str], Built],
    values: dict[str, str],
    number: int,
    count: int,
) -> Callable[[], Built]:
    return lambda: compile_with(values, f"{number} of {count}")
