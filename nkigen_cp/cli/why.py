"""``nkigen-cp why``: what another decision of a plan would cost, or why it cannot be."""

from __future__ import annotations

from typing import Any

import click

from nkigen_cp.cli.command import Command, program_options, solve_options
from nkigen_cp.cli.explain import find_plan
from nkigen_cp.cli.output import json_option
from nkigen_cp.solver.plan.pins import pin


@click.command("why", cls=Command, short_help="Say what another decision would cost.")
@program_options
@click.argument("tensor")
@click.option("--partition", multiple=True, metavar="AXIS", help="Axes on the partitions.")
@click.option("--tile", type=int, metavar="N", help="Partitions that a tile spans.")
@click.option("--residency", metavar="WHERE", help="resident, stream, spill or fused.")
@click.option("--engine", metavar="NAME", help="The engine that computes it.")
@click.option("--instruction", metavar="NAME", help="The instruction that computes it.")
@click.option("--stationary", metavar="OPERAND", help="The stationary operand of its matmuls.")
@solve_options
@json_option
def why_command(
    place: str,
    declared: tuple[str, ...],
    tensor: str,
    partition: tuple[str, ...],
    tile: int | None,
    residency: str | None,
    engine: str | None,
    instruction: str | None,
    stationary: str | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what it would cost if TENSOR were laid out, kept or computed in another way."""
    asked = pin(
        tensor,
        partition=partition or None,
        tile=tile,
        residency=residency,
        engine=engine,
        instruction=instruction,
        stationary=stationary,
    )
    answer = find_plan(place, declared, options).why(asked)
    click.echo(answer.to_json() if as_json else f"{answer}\n", nl=False)
