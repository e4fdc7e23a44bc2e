"""``nkigen-cp ops``: what kernels may use."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from nkigen_cp.cli.command import Command
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.report.ops import functions, ops_markdown


@click.command("ops", cls=Command, short_help="List what kernels may use.")
@click.option("--markdown", is_flag=True, help="Write the page docs/ops.md, with every op.")
@json_option
def ops_command(*, markdown: bool, as_json: bool) -> None:
    """List the functions that kernels may call; with --markdown also what computes each op."""
    if markdown:
        click.echo(ops_markdown(), nl=False)
        return
    if as_json:
        print_json(list(functions()))
        return
    table = Table("function", "arguments", "what")
    for entry in functions():
        table.add_row(entry.name, entry.arguments, entry.does)
    Console().print(table)
