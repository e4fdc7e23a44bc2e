"""Several neighbouring rows of a tensor on every partition, so that DMAs move long pieces.

A DMA descriptor moves one contiguous piece of HBM and takes a minimum of time. A tensor whose rows
are short (heads of 128 elements) and whose rows lie on the partitions, one each, comes in pieces of
one row. With the axis of the rows cut into blocks of a few, a partition may hold a block of them:
the axis outside of the cut lies on the partitions, the block in free. Every op along the axis
then takes its positions in the same places, so that nothing has to be moved for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.structure.tried import Search
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.targets.target import Target

LEAST_BYTES = 1 << 20
"""Smaller tensors are left as they are: their DMAs take little time."""

LEAST_SHARE = 16
"""So are those of less than one part in so many of all inputs and results: rows cost digits."""


def in_long_rows(
    graph: Graph, target: Target, structures: Sequence[Structure]
) -> Iterator[Structure]:
    """The structures with cuts for long rows; where there are such, the plain ones follow."""
    if not any(_lines(target, graph, name) > 1 for name in _ends(graph)):
        yield from structures
        return
    job = Search(graph, target)
    plain: list[Structure] = []
    for structure in structures:
        found = _lengthened(job, structure)
        plain += [structure] if found != structure else []
        yield found
    yield from plain


def _lengthened(job: Search, structure: Structure) -> Structure:
    """The structure with every cut that makes rows long and still fills the partitions."""
    program = None if structure.splits else job.program(structure)
    for name in _in_hbm(program) if program is not None else ():
        found = None if program is None else _cut(job, program, structure, name)
        structure, program = found or (structure, program)
    return structure


def _cut(
    job: Search, program: Program, structure: Structure, name: str
) -> tuple[Structure, Program] | None:
    """The structure and its program with a cut that makes one tensor's rows long, if one does."""
    tensor = program.tensors[name]
    for inner in _blocks(job, program, name) if _plain(program, name) else ():
        cut = job.cut(name, len(tensor.shape) - 2, inner)
        longer = replace(structure, cuts=(*structure.cuts, cut))
        after = job.program(longer)
        if after is not None and _useful(program, after, inner, job.target.partitions):
            return longer, after
    return None


def _in_hbm(program: Program) -> list[str]:
    """Tensors that ops read from HBM or that leave the kernel, in the program's order."""
    ends = (*program.given, *program.windows, *program.pieces, *program.outputs)
    used = [a.tensor for o in program.ops.values() for a in (*o.accesses, o.output)]
    return [t for t in dict.fromkeys(used) if t in ends]


def _plain(program: Program, name: str) -> bool:
    """Whether all ops around the tensor take and make everything by digits alone."""
    ops = (*program.producers(name), *program.consumers(name))
    accesses = (a for o in ops for a in (*o.accesses, o.output))
    return all(a.index and not a.picks and not a.slides for a in accesses)


def _ends(graph: Graph) -> tuple[str, ...]:
    return (*graph.input_names, *graph.result_names)


def _lines(target: Target, graph: Graph, name: str) -> int:
    """Rows of a tensor that a partition should hold side by side, a power of two.

    As many as a DMA descriptor needs for its full speed, and no more than engines step over at
    theirs; 1 for small tensors.
    """
    tensor, all_bytes = graph.tensors[name], sum(graph.tensors[t].size_bytes for t in _ends(graph))
    least = max(LEAST_BYTES, all_bytes / LEAST_SHARE)
    if len(tensor.shape) < 2 or tensor.size_bytes < least:
        return 1
    full = target.dma.min_descriptor_ns * target.dma.bytes_per_ns_per_engine
    wanted = full / (tensor.shape[-1] * tensor.dtype.size_bytes)
    most = target.access_stride_penalty_bytes // tensor.dtype.size_bytes
    return 1 << max(0, min(math.ceil(math.log2(wanted)), int(math.log2(most))))


def _blocks(job: Search, program: Program, name: str) -> Iterator[int]:
    """Rows per partition to try, the most first; none where rows are no dim of their own."""
    dims = program.tensors[name].dims
    window = program.windows.get(name) or program.pieces.get(name)
    base = name if window is None else window.base
    if base not in job.graph.tensors or len(dims) < 2 or len(dims[-1]) != 1 or not dims[-2]:
        return
    rows, lines = dims[-2][-1].size, _lines(job.target, job.graph, base)
    while lines > 1:
        if rows % (lines * job.target.partitions) == 0:
            yield lines
        lines //= 2


def _useful(before: Program, after: Program, inner: int, partitions: int) -> bool:
    """Whether what is cut has blocks for all partitions everywhere, and no whole row is cut."""
    if any(d.whole for o in after.ops.values() for d in o.digits):
        return False
    for name, tensor in after.tensors.items():
        old = before.tensors[name].dims if name in before.tensors else ()
        for d, factors in enumerate(tensor.dims):
            sizes = [f.size for f in factors]
            if d < len(old) and sizes == [f.size for f in old[d]]:
                continue
            at = (k for k in range(len(sizes)) if math.prod(sizes[k + 1 :]) == inner)
            if any(sizes[k] % partitions for k in at):
                return False
    return True
