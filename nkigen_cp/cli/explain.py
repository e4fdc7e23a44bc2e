"""``nkigen-cp explain``: the report of a program's plan, or of a plan file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import nkigen_cp as cp
from nkigen_cp.cli.build import SolveOptions, build, trace_declared
from nkigen_cp.cli.command import Command, program_options, solve_options
from nkigen_cp.cli.output import json_option
from nkigen_cp.cli.program import load_function
from nkigen_cp.errors import ArgumentError
from nkigen_cp.report import render_json


@click.command("explain", cls=Command, short_help="Print what was decided, and why.")
@program_options
@solve_options
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Write it as one HTML file instead of printing it.",
)
@json_option
def explain_command(
    place: str, declared: tuple[str, ...], html: Path | None, *, as_json: bool, **options: Any
) -> None:
    """Print what the solver decided for a function, and why; of a plan file (.json) likewise."""
    if html is not None and html.suffix != ".html":
        raise ArgumentError(f"--html {str(html)!r}: the file must end in .html")
    plan = find_plan(place, declared, options)
    if html is not None:
        plan.report(html)
        click.echo(f"wrote {html}", err=as_json)
    if as_json:
        click.echo(render_json(plan.report_data), nl=False)
    elif html is None:
        click.echo(plan.explain(), nl=False)


def find_plan(place: str, declared: tuple[str, ...], options: dict[str, Any]) -> cp.Plan:
    """The plan in a file, or that of a function."""
    if place.endswith(".json"):
        if declared:
            raise ArgumentError(
                f"{place!r} is a plan file, which knows its arrays; leave out --arg"
            )
        return cp.Plan.load(place)
    graph = trace_declared(load_function(place), declared)
    return build(graph, SolveOptions(**options)).plan
