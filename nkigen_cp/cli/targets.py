"""``nkigen-cp targets``: what each chip's data file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click
from rich.console import Console
from rich.table import Table

from nkigen_cp.cli.command import Command
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.report.targets import targets_markdown
from nkigen_cp.targets import TARGETS, Target

_ROWS: Mapping[str, Callable[[Target], str]] = {
    "NeuronCore": lambda t: f"v{t.generation}",
    "SBUF": lambda t: f"{t.partitions} x {t.sbuf_partition_bytes / 1024:.0f} KiB",
    "PSUM": lambda t: f"{t.partitions} x {t.psum_banks} x {t.psum_bank_bytes / 1024:.0f} KiB",
    "matmul": lambda t: f"{t.contraction_max} x {t.stationary_free_max} x {t.moving_free_max}",
    "Tensor engine": lambda t: _clock(t, "tensor"),
    "Vector engine": lambda t: _clock(t, "vector"),
    "Scalar engine": lambda t: _clock(t, "scalar"),
    "GpSimd engine": lambda t: _clock(t, "gpsimd"),
    "HBM": lambda t: f"{t.hbm_bytes_per_ns:.1f} GB/s",
    "DMA": lambda t: f"{t.dma.engines} x {t.dma.bytes_per_ns_per_engine:.0f} GB/s",
}


def _clock(target: Target, engine: str) -> str:
    return f"{target.engines[engine].clock_ghz:.2f} GHz"


@click.command("targets", cls=Command, short_help="Show the known chips.")
@click.option("--markdown", is_flag=True, help="Write the page docs/targets.md, with sources.")
@json_option
def targets_command(*, markdown: bool, as_json: bool) -> None:
    """Show the known chips, figures per core; the data files name the source of each figure."""
    if markdown:
        click.echo(targets_markdown(), nl=False)
        return
    if as_json:
        print_json(TARGETS)
        return
    table = Table()
    table.add_column("")
    for name in TARGETS:
        table.add_column(name)
    for label, cell in _ROWS.items():
        table.add_row(label, *(cell(target) for target in TARGETS.values()))
    Console().print(table)
