"""What no schedule can beat: compulsory HBM traffic, and the matmul work at the array's peak."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Statement, View
from nkigen_cp.ir.nki.loops import iterations
from nkigen_cp.simulate.count import count
from nkigen_cp.targets.target import Target


def hbm_bound_ns(kernel: Kernel, target: Target) -> float:
    """Compulsory bytes at the HBM bandwidth of one core."""
    return count(kernel).compulsory_bytes / target.hbm_bytes_per_ns


def engine_bound_ns(kernel: Kernel, target: Target) -> float:
    """Multiply-accumulates of the program's matmuls on a full array, in the dtypes they run in.

    In a compiled kernel a matmul that computes no op of the graph (a broadcast, say) is no work
    of the program's.
    """
    cycles = _cycles(kernel, kernel.body, {}, target)
    return cycles / target.engines["tensor"].clock_ghz


def _cycles(
    kernel: Kernel, body: tuple[Statement, ...], env: Mapping[str, int], target: Target
) -> float:
    total = 0.0
    for statement in body:
        if isinstance(statement, Loop):
            for inner, repeats in iterations(statement, env):
                total += repeats * _cycles(kernel, statement.body, inner, target)
        elif isinstance(statement, Instruction) and statement.kind == "nc_matmul":
            if statement.ops or kernel.graph is None:
                total += _matmul_cycles(kernel, statement, target)
    return total


def _matmul_cycles(kernel: Kernel, instruction: Instruction, target: Target) -> float:
    stationary, moving = instruction.args["stationary"], instruction.args["moving"]
    assert isinstance(stationary, View)
    assert isinstance(moving, View)
    dtypes = [kernel.buffers[v.buffer].dtype for v in (stationary, moving)]
    passes = target.float32_matmul_passes if FLOAT32 in dtypes else 1
    filled = stationary.partitions * stationary.free_size
    array = target.contraction_max * target.stationary_free_max
    return moving.free_size * passes * filled / array
