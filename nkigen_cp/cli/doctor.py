"""``nkigen-cp doctor``: what is installed, what works, and what one should know."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import click
from ortools.sat.python import cp_model  # pyright: ignore[reportMissingTypeStubs]
from rich.console import Console
from rich.table import Table

import nkigen_cp as cp
from nkigen_cp.cli.command import USER_ERROR, Command
from nkigen_cp.cli.output import json_option, print_json
from nkigen_cp.emit.toolchain import installation
from nkigen_cp.targets import TARGETS

_NEEDED = ("ortools", "numpy", "ml_dtypes", "networkx", "click", "rich", "jinja2")
_OPTIONAL = {"matplotlib": "sweep --plot and sensitivity --plot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``fine`` is False only where commands will fail."""

    what: str
    found: str
    fine: bool = True


@click.command("doctor", cls=Command, short_help="Show versions, what works, and limits.")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, *, as_json: bool) -> None:
    """Show versions, whether solver and Neuron toolchain work, and limits. Code 1 if not fine."""
    found = findings()
    if as_json:
        print_json({"findings": found, "fine": all(f.fine for f in found)})
    else:
        table = Table("", "found", "")
        for f in found:
            table.add_row(f.what, f.found, "[green]ok[/]" if f.fine else "[red]BROKEN[/]")
        Console().print(table)
    if not all(f.fine for f in found):
        ctx.exit(USER_ERROR)


def findings() -> list[Finding]:
    """Everything the command looks at."""
    return [
        Finding(what="nkigen-cp", found=cp.__version__),
        Finding(what="python", found=f"{platform.python_version()}, {os.cpu_count()} cores"),
        *(_package(name) for name in _NEEDED),
        *(
            Finding(what=name, found=_version(name) or f"not installed; only {use} needs it")
            for name, use in _OPTIONAL.items()
        ),
        _solver(),
        _toolchain(),
        Finding(what="targets", found=f"{', '.join(TARGETS)}, or a file: --target chip.json"),
        Finding(what="cache", found="none: a plan is kept only where it is saved"),
        Finding(
            what="cores",
            found="kernels are for one NeuronCore (LNC 1): run them with NEURON_LOGICAL_NC_CONFIG=1"
            " on trn2 and trn3, whose default joins two cores to one",
        ),
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    """A dependency, in the version that this release asks for."""
    version = _version(name)
    return Finding(what=name, found=version or "not installed", fine=version is not None)


def _solver() -> Finding:
    """Solves a model of one variable; a broken binary shows here."""
    model = cp_model.CpModel()
    variable = model.new_int_var(0, 7, "x")
    model.maximize(variable)
    solver = cp_model.CpSolver()
    status = solver.status_name(solver.solve(model))
    fine = status == "OPTIMAL" and solver.value(variable) == 7
    return Finding(what="CP-SAT", found="solves" if fine else f"ends with {status}", fine=fine)


def _toolchain() -> Finding:
    """Not needed but for ``emit_neff``, so that its absence is fine."""
    found = installation()
    complete = len(found.versions) > 1 and not found.placeholder
    hint = "" if complete else f"; only emit_neff needs it: {found.remedy()}"
    return Finding(what="Neuron toolchain", found=found.describe() + hint)
