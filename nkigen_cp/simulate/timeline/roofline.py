"""What no schedule can beat: compulsory HBM traffic, and the matmul work at the array's peak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.updates import stored_bytes
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, Loop, Statement, View
from nkigen_cp.ir.nki.loops import iterations
from nkigen_cp.ir.rewrite.canonical import simplify
from nkigen_cp.ir.tensor.compulsory import read_bytes
from nkigen_cp.ir.tensor.graph import Graph, Op
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.simulate.count import count
from nkigen_cp.simulate.timeline.masked import idle_fractions
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Lower bounds of a program's time on one core, in nanoseconds.

    ``compulsory_bytes`` is each input and output of the graph once, of an input read by traced
    indices what they address. Captured constants are no part of it: a kernel may make them on the
    chip.
    """

    compulsory_bytes: int
    hbm_bound_ns: float
    engine_bound_ns: float

    @property
    def ns(self) -> float:
        """The larger of the HBM and the matmul bound."""
        return max(self.hbm_bound_ns, self.engine_bound_ns)


def roofline(
    graph: Graph, target: Target, *, matmul_precision: str = "exact", assume_masked: bool = True
) -> Roofline:
    """The roofline of a traced graph under the options of ``solve``.

    Contractions run in the dtypes that ``matmul_precision`` gives them. With ``assume_masked``,
    what an additive mask removes in blocks of 128 x 128 is no work.

    Raises:
        UnsupportedError: the precision is not offered, or an op has no form on the hardware.
    """
    needed = compulsory_bytes(graph)
    core = simplify(graph, matmul_precision=matmul_precision)
    cycles = _graph_cycles(core, target, assume_masked=assume_masked)
    return Roofline(
        compulsory_bytes=needed,
        hbm_bound_ns=needed / target.hbm_bytes_per_ns,
        engine_bound_ns=cycles / target.engines["tensor"].clock_ghz,
    )


def compulsory_bytes(graph: Graph) -> int:
    """Bytes of the graph's inputs and outputs once, and what is written of mutated inputs.

    Of an input that is read by traced indices alone only what they address, once per index.
    """
    return sum(read_bytes(graph, name) for name in graph.input_names) + stored_bytes(graph)


def hbm_bound_ns(kernel: Kernel, target: Target) -> float:
    """Compulsory bytes at the HBM bandwidth of one core."""
    graph = kernel.graph
    needed = count(kernel).compulsory_bytes if graph is None else compulsory_bytes(graph)
    return needed / target.hbm_bytes_per_ns


def engine_bound_ns(kernel: Kernel, target: Target) -> float:
    """Multiply-accumulates of the program's matmuls on a full array, in the dtypes they run in.

    The work of a compiled kernel is its graph's, less what masks remove. A kernel written by hand
    is taken at its word: every matmul is work.
    """
    if kernel.graph is None:
        cycles = _kernel_cycles(kernel, kernel.body, {}, target)
    else:
        core = simplify(kernel.graph)
        if not _runs_exact(kernel, core):
            core = simplify(kernel.graph, matmul_precision="bf16")
        cycles = _graph_cycles(core, target, assume_masked=True)
    return cycles / target.engines["tensor"].clock_ghz


def _contractions(core: Graph) -> list[Op]:
    return [op for op in core.ops.values() if OPS[op.kind].family is Family.CONTRACT]


def _is_wide(core: Graph, op: Op) -> bool:
    return any(core.tensors[o.tensor].dtype == FLOAT32 for o in op.operands)


def _rows(core: Graph, op: Op, target: Target) -> int:
    """How many rows of both operands one cell of the array multiplies at a time."""
    names = (core.tensors[o.tensor].dtype.name for o in op.operands)
    return 2 if all(name in target.double_row_dtypes for name in names) else 1


def _graph_cycles(core: Graph, target: Target, *, assume_masked: bool) -> float:
    """Tensor engine cycles of a core graph's contractions with every cell of the array busy."""
    idle = idle_fractions(core) if assume_masked else {}
    total = 0.0
    for op in _contractions(core):
        passes = (
            target.float32_matmul_passes if _is_wide(core, op) else 1.0 / _rows(core, op, target)
        )
        work = prod(axis.size for axis in op.axes) * (1.0 - idle.get(op.name, 0.0))
        total += passes * work / _cells(target)
    return total


def _cells(target: Target) -> int:
    return target.contraction_max * target.stationary_free_max


def _runs_exact(kernel: Kernel, core: Graph) -> bool:
    """Whether the float32 contractions of the graph are float32 matmuls in the kernel.

    The kernel does not say under which precision it was solved; its matmuls show it. Those of other
    ops, sums and biases, may be float32 in any case, so they count only if nothing else is known.
    """
    wide: dict[str, bool] = {}
    for instruction in _matmuls(kernel.body):
        for op in instruction.ops:
            wide[op] = wide.get(op, True) and _reads_float32(kernel, instruction)
    told = [wide[op.name] for op in _contractions(core) if _is_wide(core, op) and op.name in wide]
    return any(told or wide.values())


def _matmuls(body: tuple[Statement, ...]) -> Iterator[Instruction]:
    for statement in body:
        if isinstance(statement, Loop):
            yield from _matmuls(statement.body)
        elif isinstance(statement, Instruction) and statement.kind == "nc_matmul":
            yield statement


def _kernel_cycles(
    kernel: Kernel, body: tuple[Statement, ...], env: Mapping[str, int], target: Target
) -> float:
    total = 0.0
    for statement in body:
        if isinstance(statement, Loop):
            for inner, repeats in iterations(statement, env):
                total += repeats * _kernel_cycles(kernel, statement.body, inner, target)
        elif isinstance(statement, Instruction) and statement.kind == "nc_matmul":
            total += _matmul_cycles(kernel, statement, target)
    return total


def _operands(instruction: Instruction) -> tuple[View, View]:
    stationary, moving = instruction.args["stationary"], instruction.args["moving"]
    assert isinstance(stationary, View)
    assert isinstance(moving, View)
    return stationary, moving


def _reads_float32(kernel: Kernel, instruction: Instruction) -> bool:
    return FLOAT32 in [kernel.buffers[v.buffer].dtype for v in _operands(instruction)]


def _matmul_cycles(kernel: Kernel, instruction: Instruction, target: Target) -> float:
    stationary, _ = _operands(instruction)
    dst = instruction.args["dst"]
    assert isinstance(dst, View)
    passes = target.float32_matmul_passes if _reads_float32(kernel, instruction) else 1
    filled = stationary.partitions * dst.partitions
    return dst.free_size * passes * filled / _cells(target)
