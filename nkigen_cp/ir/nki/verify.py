"""The verifier: every documented rule of the hardware that a kernel's IR can break."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki import accumulation, capacity, collective_rules, pipeline, scope
from nkigen_cp.ir.nki.access_rules import COMMON
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Statement
from nkigen_cp.ir.nki.loops import value_range
from nkigen_cp.ir.nki.rules import RULES
from nkigen_cp.ir.nki.site import Site
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.targets.target import Target

STRUCTURE: Mapping[str, scope.KernelRule] = {
    "borders": scope.borders,
    "kinds": scope.kinds,
    "scopes": scope.scopes,
}
"""Checked before the instructions, which rely on them."""

WHOLE: Mapping[str, scope.KernelRule] = {
    "first_writes": scope.first_writes,
    "outputs": scope.outputs,
    "pipelines": pipeline.pipelines,
    "accumulation": accumulation.accumulation,
    "sbuf": capacity.sbuf,
    "psum": capacity.psum,
    "ranks": collective_rules.same_ranks,
}
"""Checked after the instructions."""


def verify_kernel(kernel: Kernel, target: Target) -> None:
    """Check ``kernel`` against every rule of ``target``.

    Raises:
        KernelError: the first rule broken, with the instruction, the buffer, what was found and
            what is allowed.
    """
    _check_whole(kernel, target, STRUCTURE)
    _check_body(kernel.body, (), kernel, target)
    _check_whole(kernel, target, WHOLE)


def _check_whole(kernel: Kernel, target: Target, rules: Mapping[str, scope.KernelRule]) -> None:
    for name, rule in rules.items():
        problem = rule(kernel, target)
        if problem:
            raise KernelError(f"rule {name!r}: kernel {kernel.name!r} {problem}")


def _check_body(
    body: tuple[Statement, ...], loops: tuple[Loop, ...], kernel: Kernel, target: Target
) -> None:
    for statement in body:
        if isinstance(statement, Instruction):
            _check_instruction(
                Site(
                    target=target,
                    buffers=kernel.buffers,
                    loops=loops,
                    instruction=statement,
                    row=INSTRUCTIONS[statement.kind],
                )
            )
        elif isinstance(statement, Loop):
            trips = value_range(statement.upper + statement.lower * -1, loops)
            if trips.high > 0:
                _check_body(statement.body, (*loops, statement), kernel, target)


def _check_instruction(site: Site) -> None:
    rules = (*COMMON.items(), *((name, RULES[name]) for name in site.row.rules))
    for name, rule in rules:
        problem = rule(site)
        if problem:
            raise KernelError(f"rule {name!r}: {site.where} {problem}")
