"""``nkigen-cp diff``: two plan files, what they decide differently and what it costs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import nkigen_cp as cp
from nkigen_cp.cli.command import MISMATCH, Command
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.report.difference import Decision, Difference, Number, difference

_PLAN = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("diff", cls=Command, short_help="Compare two plan files.")
@click.argument("before", type=_PLAN)
@click.argument("after", type=_PLAN)
@click.option(
    "--max-slowdown",
    type=float,
    metavar="PERCENT",
    help="End with code 3 if the modelled latency grew by more, to guard a plan in a test.",
)
@json_option
@click.pass_context
def diff_command(
    ctx: click.Context, before: Path, after: Path, max_slowdown: float | None, *, as_json: bool
) -> None:
    """Compare two plan files: figures, settings, and the decisions that differ."""
    found = difference(cp.Plan.load(before).report_data, cp.Plan.load(after).report_data)
    too_slow = max_slowdown is not None and 100 * found.slowdown > max_slowdown
    if as_json:
        print_json({"difference": found, "slowdown": found.slowdown, "too_slow": too_slow})
    else:
        _show(found, Console())
    if too_slow:
        click.echo(f"{100 * found.slowdown:.1f} % slower, allowed is {max_slowdown:g} %", err=True)
        ctx.exit(MISMATCH)


def _show(found: Difference, console: Console) -> None:
    console.print(_numbers(found.numbers))
    if found.settings:
        console.print(_settings(found.settings))
    if found.decisions:
        console.print(_decisions(found.decisions))
    else:
        console.print("the decisions are the same")


def _numbers(numbers: tuple[Number, ...]) -> Table:
    table = Table("figure")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for n in numbers:
        sides = [f"{side:,} {n.unit}".rstrip() for side in (n.before, n.after)]
        table.add_row(n.name, *sides, _percent(n.change))
    return table


def _percent(change: float | None) -> str:
    if change is None:
        return "new"
    return f"{100 * change:+.1f} %" if change else "="


def _settings(settings: tuple[Decision, ...]) -> Table:
    table = Table("setting", "before", "after")
    for d in settings:
        table.add_row(d.what, d.before, d.after)
    return table


def _decisions(decisions: tuple[Decision, ...]) -> Table:
    table = Table("of", "decision", "before", "after", show_lines=True)
    for d in decisions:
        table.add_row(d.subject, d.what, d.before, d.after)
    return table
