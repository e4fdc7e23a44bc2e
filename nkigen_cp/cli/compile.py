"""``nkigen-cp compile``: a function of a file to a plan, a report and NKI source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nkigen_cp.cli.build import SolveOptions, build, save, trace_declared
from nkigen_cp.cli.command import Command, program_options, solve_options
from nkigen_cp.cli.figures import figures
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.program import load_function
from nkigen_cp.cli.show import kernel_table


@click.command(
    "compile", cls=Command, short_help="Write plan, report and NKI source of a function."
)
@program_options
@solve_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where plan.json, report.txt and the NKI source go.",
)
@json_option
def compile_command(
    place: str, declared: tuple[str, ...], output: Path, *, as_json: bool, **options: Any
) -> None:
    """Compile a numpy function and write plan.json, report.txt and its NKI source."""
    graph = trace_declared(load_function(place), declared)
    built = build(graph, SolveOptions(**options))
    paths = save(built, output)
    found = figures(built.plan, built.kernel)
    if as_json:
        print_json({"figures": found, "files": paths})
        return
    Console().print(kernel_table(found))
    for path in paths:
        click.echo(f"wrote {path}")
