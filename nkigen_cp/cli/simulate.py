"""``nkigen-cp simulate``: a compiled function on random inputs, against numpy."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from rich.console import Console

import nkigen_cp as cp
from nkigen_cp.cli.build import Built, SolveOptions, build, trace_declared
from nkigen_cp.cli.command import MISMATCH, Command, program_options, solve_options
from nkigen_cp.cli.compare import Difference, compare, leaves, tolerance
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.program import bind, load_function, parse_argument
from nkigen_cp.cli.show import difference_table


@click.command("simulate", cls=Command, short_help="Run the kernel and compare it with numpy.")
@program_options
@solve_options
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the inputs.")
@json_option
@click.pass_context
def simulate_command(
    ctx: click.Context,
    place: str,
    declared: tuple[str, ...],
    seed: int,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile a numpy function, run the kernel on random inputs, compare with numpy in float64.

    Floats are drawn from a normal distribution, a matrix scaled by its number of rows.
    """
    function = load_function(place)
    solve = SolveOptions(**options)
    built = build(trace_declared(function, declared), solve)
    rng = np.random.default_rng(seed)
    arrays = {a.name: a.draw(rng) for a in map(parse_argument, declared)}
    args, kwargs = bind(function, arrays)
    allowed = tolerance(
        (t.dtype.name for t in built.graph.tensors.values()), solve.matmul_precision
    )
    differences = _differences(built, args, kwargs, allowed)
    if as_json:
        print_json({"differences": differences})
    else:
        Console().print(difference_table(differences, "numpy in float64"))
    if not all(d.matches for d in differences):
        ctx.exit(MISMATCH)


def _differences(
    built: Built, args: tuple[Any, ...], kwargs: dict[str, Any], allowed: float
) -> list[Difference]:
    # Positional in the graph's order, which is the order of the function's parameters; first,
    # because the simulator writes mutated inputs back.
    given = (*args, *kwargs.values())
    exact = leaves(cp.interpret(built.graph, *given, precision="float64"))
    actual = leaves(cp.simulate(built.kernel, *args, **kwargs))
    return [
        compare(tensor.name, ours, reference, allowed)
        for tensor, ours, reference in zip(built.graph.outputs, actual, exact, strict=True)
    ]
