"""Layouts, runs and tiles in words, with the user's axis names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from nkigen_cp.ir.factor.program import Access, FactorOp, FactorTensor, Program
from nkigen_cp.ir.tensor.graph import Source
from nkigen_cp.report.model import OpLine
from nkigen_cp.solver.candidates import ENGINES
from nkigen_cp.solver.plan import CHUNK, Layout, Run, Tiled, geometry

Names = Mapping[str, str]


def axis_names(program: Program, accesses: Iterable[Access]) -> dict[str, str]:
    """Digit -> the factor it addresses, in the first of the accesses that it addresses."""
    names = {CHUNK: "chunk"}
    for access in accesses:
        factors = program.tensors[access.tensor].factors
        for factor, index in zip(factors, access.index, strict=True):
            if index.digit is not None:
                names.setdefault(index.digit, factor.name)
    return names


def op_line(name: str, tensor: str, source: Source | None) -> OpLine:
    """The op that writes ``tensor``, with its source as ``file.py:line``."""
    where = f"{PurePath(source.file).name}:{source.line}" if source else ""
    return OpLine(name=name, tensor=tensor, where=where)


def run_text(run: Run, op: FactorOp, names: Names) -> str:
    """What a run puts on the partitions."""
    return _folded([names[d] for d in run.digits], [op.size(d) for d in run.digits], run.block)


def layout_text(tensor: FactorTensor, layout: Layout | None) -> str:
    """What a layout puts on the partitions; where the tensor is if it is in HBM."""
    if layout is None:
        return "HBM"
    if layout.replicas > 1:
        return f"the same on {layout.replicas}"
    sizes = [tensor.factor(n).size for n in layout.partition]
    return _folded(layout.partition, sizes, layout.block)


def _folded(names: Sequence[str], sizes: Sequence[int], block: int) -> str:
    """``d1 (128)``, ``d1 (128 of 1024)``, ``h x d (2 of 16 x 64)``."""
    if not names:
        return "one partition"
    outer = f"{block} of {sizes[0]}" if block < sizes[0] else str(sizes[0])
    return f"{' x '.join(names)} ({' x '.join([outer, *map(str, sizes[1:])])})"


def free_text(tensor: FactorTensor, layout: Layout) -> str:
    """The free dims of a form, outermost first."""
    shape = geometry(tensor, layout)
    chunks = [f"{shape.chunks} chunks"] if shape.chunks > 1 else []
    return " x ".join([*chunks, *(f"{f.name} {f.size}" for f in shape.free)]) or "1"


def in_order(busy: Mapping[str, int]) -> dict[str, int]:
    """Engine times in the canonical order of engines, which a plan file does not keep."""
    return {e: busy[e] for e in ENGINES if e in busy}


def tiles_text(tiles: Iterable[Tiled], names: Names) -> str:
    """``d2 512, d3 64``."""
    return ", ".join(f"{names.get(t.digit, t.digit)} {t.block}" for t in tiles)
