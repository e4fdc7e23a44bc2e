"""Small programs with loop structures made by hand, and plans of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import FactorTensor, Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.families import memory
from nkigen_cp.solver.greedy import greedy
from nkigen_cp.solver.instance import Instance, build_instance
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.record import recorded
from nkigen_cp.solver.search import search
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure import Structure, structured

FAST = Options(effort="fast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """A loop along a tensor's dim, in blocks of ``inner`` positions, around the ``ops`` it reaches.

    ``ops`` names the tensors that they make; None means all of them.
    """

    tensor: str
    dim: int
    inner: int = 1
    copies: int = 2
    ops: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """A function, the shapes of its arguments, and the loops around its ops, outermost first.

    ``cuts`` are made besides those of the loops. ``homes`` are loops for one iteration of which
    inputs are loaded, where the solver would choose otherwise. ``sbuf`` is what there is of SBUF,
    in bytes per partition.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    loops: tuple[Along, ...]
    dtype: str = "float32"
    cuts: tuple[Cut, ...] = ()
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    sbuf: int = cp.TRN2.sbuf_partition_bytes

    @property
    def target(self) -> cp.Target:
        return replace(cp.TRN2, sbuf_partition_bytes=self.sbuf)

    def arrays(self) -> list[Any]:
        """Arguments, reproducible."""
        rng = np.random.default_rng(0)
        kind = cp.spec((1,), self.dtype).dtype.numpy
        return [rng.standard_normal(s).astype(kind) for s in self.shapes]

    def graph(self) -> Graph:
        return cp.trace(self.function, *(cp.spec(s, self.dtype) for s in self.shapes))

    def structure(self) -> Structure:
        return structure_of(canonical(self.graph(), FAST), self.loops, self.cuts)

    def plan(self) -> cp.Plan:
        graph = self.graph()
        structure = self.structure()
        return nested_plan(graph, structure, target=self.target, homes=self.homes)


def structure_of(graph: Graph, loops: Sequence[Along], more: Sequence[Cut] = ()) -> Structure:
    """The cuts and loops of a canonical graph; loops are named L0, L1, ..."""
    wanted = [
        Cut(tensor=a.tensor, dim=a.dim, inner=a.inner)
        for a in loops
        if 1 < a.inner < graph.tensors[a.tensor].shape[a.dim]
    ]
    cuts = tuple(dict.fromkeys((*wanted, *more)))
    program = refine(graph, cuts)
    taken: dict[str, list[str]] = {name: [] for name in program.ops}
    found: list[Loop] = []
    for k, along in enumerate(loops):
        digits = _digits(program, along, taken)
        op = next(iter(digits))
        trips = program.ops[op].size(digits[op])
        found.append(Loop(name=f"L{k}", trips=trips, digits=digits, copies=along.copies))
        for name, digit in digits.items():
            taken[name].append(digit)
    return Structure(cuts=cuts, loops=tuple(found))


def _outermost(tensor: FactorTensor, dim: int) -> str:
    """The outermost factor of a dim."""
    inside = int(np.prod(tensor.shape[dim:], dtype=np.int64))
    sizes = [f.size for f in tensor.factors]
    bounds = [int(np.prod(sizes[k:], dtype=np.int64)) for k in range(len(sizes))]
    return tensor.factors[bounds.index(inside)].name


def _digits(program: Program, along: Along, taken: Mapping[str, list[str]]) -> dict[str, str]:
    """Op -> digit, following the factor through every index map; the first digit found counts."""
    digits: dict[str, str] = {}
    todo = [(along.tensor, _outermost(program.tensors[along.tensor], along.dim))]
    for tensor, factor in todo:
        k = [f.name for f in program.tensors[tensor].factors].index(factor)
        for name, op in program.ops.items():
            if along.ops is not None and op.output.tensor not in along.ops:
                continue
            sides = (*op.accesses, op.output)
            here = [a.index[k].digit for a in sides if a.tensor == tensor and a.index]
            for digit in (d for d in here if d is not None and d not in taken[name]):
                if digits.setdefault(name, digit) == digit:
                    reached = [
                        (a.tensor, f.name)
                        for a in sides
                        for f, i in zip(program.tensors[a.tensor].factors, a.index, strict=True)
                        if i.digit == digit
                    ]
                    todo += [r for r in reached if r not in todo]
    return digits


def nested_plan(
    graph: Graph,
    structure: Structure,
    *,
    target: cp.Target = cp.TRN2,
    options: Options = FAST,
    homes: Mapping[str, tuple[str, ...]] | None = None,
) -> cp.Plan:
    """The solver's plan inside a given structure, inputs brought to ``homes``."""
    instance = build_instance(structured(canonical(graph, options), structure), target)
    first = greedy(instance)
    start = first if memory.fits(instance, first) else None
    outcome = search(instance, start, effort=options.effort, seed=0, workers=options.workers)
    assert outcome.decisions is not None
    decisions = outcome.decisions
    for tensor, home in (homes or {}).items():
        decisions = _rehomed(instance, decisions, tensor, home)
        outcome = replace(outcome, status="FEASIBLE")
    data = recorded(graph, instance, decisions, outcome, options)
    used = [name for s in data.steps for name in s.path]
    loops = tuple(k for n, k in instance.program.loops.items() if n in used)
    data = replace(data, cuts=structure.cuts, loops=loops)
    return cp.Plan(data=data, graph=graph, target=target)


def _rehomed(
    instance: Instance, decisions: Decisions, tensor: str, home: tuple[str, ...]
) -> Decisions:
    """An input is loaded for every iteration of other loops."""
    choice = instance.choices[tensor]
    (kept,) = decisions.kept[tensor]
    form = next(x for x in choice.layouts if x.home == home and x.shape == kept.shape)
    move = next(j for j in choice.arrivals[form] if choice.moves[j].source is None)
    return replace(
        decisions,
        kept={**decisions.kept, tensor: (form,)},
        moved={**decisions.moved, tensor: (move,)},
    )


def _softmax(x: Any) -> Any:
    exps = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exps / np.sum(exps, axis=-1, keepdims=True)


def _attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * 0.125
    return _softmax(scores) @ v


def _layernorm(x: Any, g: Any, b: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(np.square(centred), axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * g + b


def _product(x: Any, w: Any) -> Any:
    return x @ w


def _turned(x: Any) -> Any:
    exps = np.exp(x)
    return exps - np.max(exps, axis=0, keepdims=True), np.sum(exps, axis=1)


def _summed(x: Any) -> Any:
    return np.sum(np.square(x), axis=0)


def _causal(x: Any) -> Any:
    return np.exp(x + np.triu(np.full(x.shape, -10000.0, np.float32), k=1))


def _pairs(x: Any) -> Any:
    exps = np.exp(x)
    return np.tanh(exps[:, :64]) * exps[:, 64:]


def _late(x: Any) -> Any:
    exps = np.exp(x)
    return np.tanh(exps * 3) + exps


def _halves(x: Any, c: Any) -> Any:
    return np.concatenate([x[:, :64] * c, x[:, 64:] - c], axis=1)


def _stored_turned(x: Any) -> Any:
    return x.T, np.exp(x)


_ROWS = Along(tensor="x", dim=0, inner=128)
_TURNED = (
    Along(tensor="x", dim=0, inner=128, ops=("exps", "sum_1")),
    Along(tensor="exps", dim=1, inner=64, copies=1, ops=("max_1", "subtract_1")),
)

NESTS: dict[str, Nest] = {
    "softmax": Nest(function=_softmax, shapes=((512, 256),), loops=(_ROWS,)),
    "softmax in place": Nest(function=_softmax, shapes=((256, 1024),), loops=(_ROWS,), sbuf=16_000),
    "attention": Nest(
        function=_attention,
        shapes=((2, 256, 64),) * 3,
        loops=(Along(tensor="q", dim=0), Along(tensor="q", dim=1, inner=128)),
    ),
    "layernorm": Nest(
        function=_layernorm,
        shapes=((384, 192), (192,), (192,)),
        loops=(replace(_ROWS, copies=3),),
    ),
    "matmul": Nest(
        function=_product,
        shapes=((256, 128), (128, 1024)),
        loops=(_ROWS, Along(tensor="w", dim=1, inner=512)),
    ),
    "matmul, weights per row block": Nest(
        function=_product,
        shapes=((256, 128), (128, 512)),
        loops=(_ROWS,),
        homes={"w": ("L0",)},
    ),
    "matmul, rows turned in pieces": Nest(
        function=_product,
        shapes=((1024, 512), (512, 256)),
        loops=(Along(tensor="x", dim=0, inner=512),),
        cuts=(Cut(tensor="x", dim=0, inner=128),),
        sbuf=36_000,
    ),
    "blocked contraction": Nest(
        function=_product,
        shapes=((128, 512), (512, 256)),
        loops=(Along(tensor="w", dim=1, inner=128), Along(tensor="x", dim=1, inner=128)),
    ),
    "blocked sum": Nest(function=_summed, shapes=((512, 64),), loops=(_ROWS,)),
    "crossing whole": Nest(function=_turned, shapes=((256, 192),), loops=_TURNED),
    "crossing spilled": Nest(function=_turned, shapes=((512, 512),), loops=_TURNED, sbuf=11_000),
    "causal": Nest(function=_causal, shapes=((256, 256),), loops=(_ROWS,)),
    "causal, mask made per block": Nest(
        function=_causal, shapes=((512, 512),), loops=(_ROWS,), homes={"const_1": ("L0",)}
    ),
    "pairs": Nest(function=_pairs, shapes=((256, 128),), loops=(_ROWS,)),
    "late": Nest(function=_late, shapes=((256, 128),), loops=(_ROWS,)),
    "stored turned": Nest(
        function=_stored_turned,
        shapes=((256, 100),),
        loops=(Along(tensor="x", dim=0, inner=128, ops=("exp_1",)),),
    ),
    "halves": Nest(function=_halves, shapes=((256, 128), (256, 64)), loops=(_ROWS,)),
}
"""Programs inside loops: one nest or two, reductions inside of loops and over them."""
