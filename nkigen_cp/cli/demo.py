"""``nkigen-cp demo``: one Qwen3-Embedding layer, compiled, simulated and compared with numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

import nkigen_cp as cp
from nkigen_cp.cli.build import SolveOptions, build, save
from nkigen_cp.cli.command import MISMATCH, Command, solve_options
from nkigen_cp.cli.compare import compare, tolerance
from nkigen_cp.cli.figures import figures
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.cli.show import difference_table, kernel_table
from nkigen_cp.workloads import WORKLOADS

LAYER = "qwen3emb_layer_s128_bf16"


@click.command("demo", cls=Command, short_help="Compile and check one Qwen3 layer.")
@solve_options
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    metavar="DIR",
    help="Where plan.json, report.txt and the NKI source go.",
)
@json_option
@click.pass_context
def demo_command(ctx: click.Context, output: Path, *, as_json: bool, **options: Any) -> None:
    """Compile one Qwen3-Embedding-0.6B layer (128 tokens, bf16), simulate it, compare with numpy.

    The reference is the same function run by numpy itself in float32.
    """
    console = Console(quiet=as_json)
    workload = WORKLOADS[LAYER]
    solve = SolveOptions(**options)
    specs = [cp.spec(i.shape, i.dtype) for i in workload.inputs]
    built = build(cp.trace(workload.function, *specs), solve)
    found = figures(built.plan, built.kernel)
    console.print(kernel_table(found))
    paths = save(built, output)
    for path in paths:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)

    arrays = workload.make_inputs()
    with console.status("simulating"):
        actual = np.asarray(cp.simulate(built.kernel, *arrays))
    reference = workload.function(*(a.astype(np.float32) for a in arrays))
    allowed = tolerance((i.dtype for i in workload.inputs), solve.matmul_precision)
    difference = compare(LAYER, actual, reference, allowed)
    console.print(difference_table([difference], "numpy in float32"))
    console.print("the kernel agrees with numpy" if difference.matches else "the kernel is WRONG")
    if as_json:
        print_json({"figures": found, "files": paths, "difference": difference})
    if not difference.matches:
        ctx.exit(MISMATCH)
