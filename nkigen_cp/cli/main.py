"""The entry point: one group of commands."""

from __future__ import annotations

import click

from nkigen_cp.cli.bench import bench_command
from nkigen_cp.cli.compile import compile_command
from nkigen_cp.cli.completion import completion_command
from nkigen_cp.cli.demo import demo_command
from nkigen_cp.cli.diff import diff_command
from nkigen_cp.cli.doctor import doctor_command
from nkigen_cp.cli.explain import explain_command
from nkigen_cp.cli.ops import ops_command
from nkigen_cp.cli.sensitivity import sensitivity_command
from nkigen_cp.cli.simulate import simulate_command
from nkigen_cp.cli.sweep import sweep_command
from nkigen_cp.cli.targets import targets_command
from nkigen_cp.cli.why import why_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nkigen-cp", prog_name="nkigen-cp")
def main() -> None:
    """Compile numpy-style tensor programs to AWS Trainium NKI kernels.

    Exit codes: 0 ok, 1 an error in what was given, 2 wrong usage, 3 results that do not match.
    """


for _command in (
    compile_command,
    explain_command,
    why_command,
    simulate_command,
    demo_command,
    sweep_command,
    sensitivity_command,
    diff_command,
    bench_command,
    targets_command,
    ops_command,
    doctor_command,
    completion_command,
):
    main.add_command(_command)
