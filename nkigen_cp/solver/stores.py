"""What leaves the kernel: stores of outputs, copies between HBM tensors, reinterpretations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import WHOLE, Digit, FactorOp, FactorTensor, Program
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.tensor.graph import Op, Operand
from nkigen_cp.solver.boxes import runs
from nkigen_cp.solver.candidates import Candidate, Context, Need, rounded
from nkigen_cp.solver.homes import tile_of
from nkigen_cp.solver.moves import identity_store
from nkigen_cp.solver.plan import Reinterpret, Store
from nkigen_cp.solver.plan.layout import Fixed, Layout, fixed_factors, geometry
from nkigen_cp.solver.store_cost import Ends, dma_ns, store_busy_ns, store_loops
from nkigen_cp.solver.walks import reaches_in_hbm, walked_digits
from nkigen_cp.targets.target import Target


def split_stores(program: Program) -> tuple[Program, list[Store]]:
    """The program without its output copies, and every store of an output.

    Copies are stores themselves where they make up an output that nobody reads.
    """
    ops = dict(program.ops)
    stores: list[Store] = []
    moved: set[str] = set()
    for out in program.outputs:
        writers = program.producers(out)
        if program.consumers(out) or not all(_moves_only(program, o) for o in writers):
            continue
        for op in writers:
            digits = {d.name: d.size for d in op.digits}
            stores.append(
                Store(
                    source=op.accesses[0],
                    target=op.output,
                    digits=digits,
                    op=op.name,
                    path=op.path,
                )
            )
            moved.add(out)
            del ops[op.name]
    for out in program.outputs:
        opaque = any(o.kind in WHOLE and o.output.tensor == out for o in ops.values())
        if out not in moved and not opaque:
            path, fixed = _result_loops(program, out)
            stores.append(identity_store(program.tensors[out], f"store.{out}", path, fixed))
    sources = tuple(dict.fromkeys(s.source.tensor for s in stores))
    return replace(program, ops=ops, stored=sources), stores


def _moves_only(program: Program, op: FactorOp) -> bool:
    """Whether the op is a copy that a DMA can do: one that leaves the dtype."""
    kinds = {program.tensors[a.tensor].dtype.name for a in (op.output, *op.accesses)}
    return op.kind == "copy" and len(kinds) == 1


def _result_loops(program: Program, tensor: str) -> tuple[tuple[str, ...], tuple[Fixed, ...]]:
    """The loops one iteration of which completes a part of the tensor; the factors they count."""
    writers = program.producers(tensor)
    path = common_path(*(o.result_path for o in writers))
    if not path:
        return (), ()
    first, *others = (
        [f for f in fixed_factors(program.tensors[tensor], w.output) if f.loop in path]
        for w in writers
    )
    # Pieces at different places in one iteration are stored when all of them are there.
    return (path, tuple(first)) if all(o == first for o in others) else ((), ())


def store_candidates(context: Context, store: Store, known: Sequence[Layout]) -> list[Candidate]:
    """Storing from any layout its source can have, or straight from HBM if it is there."""
    program, target = context.program, context.target
    tensor = program.tensors[store.source.tensor]
    fixed = fixed_factors(tensor, store.source)
    layouts = [*known]
    natural = natural_layouts(tile_of(tensor, Layout(fixed=fixed)), target)
    layouts += [x for y in natural if (x := y.at((), fixed)) not in layouts]
    layouts = [x for x in layouts if x.fixed == fixed]
    ordered = (_in_target_order(tensor, store, x) for x in layouts if x.replicas == 1 and not fixed)
    layouts += [x for x in dict.fromkeys(ordered) if x not in layouts]
    places: list[Layout | None] = [x for x in layouts if x.replicas == 1]
    if tensor.name in context.in_hbm and reaches_in_hbm(program, store):
        places.append(None)
    into = program.tensors[store.target.tensor]
    walks = [() if x is None else walked_digits(program, x, store) for x in places]
    return [
        _candidate(target, (tensor, into), x, store, walked)
        for x, walked in zip(places, walks, strict=True)
        if walked is not None
    ]


def _candidate(
    target: Target,
    ends: tuple[FactorTensor, FactorTensor],
    layout: Layout | None,
    store: Store,
    walked: Sequence[str],
) -> Candidate:
    tensor, into = ends
    if layout is not None:
        store = replace(store, loops=store_loops(tensor, into, layout, store, walked))
    busy_dma_ns = store_busy_ns(target, tensor, into, layout, store)
    return Candidate(
        ops=(store.op,),
        spec=store,
        needs=(Need(slot="src", tensor=store.source.tensor, layout=layout),),
        makes=(),
        busy_ns=rounded({"dma": busy_dma_ns}),
        path=store.path,
    )


def natural_layouts(tensor: FactorTensor, target: Target) -> list[Layout]:
    """Layouts of a tensor by itself: every run of its factors on the partitions, and the row."""
    store = identity_store(tensor, "")
    digits = tuple(Digit(name=f.name, size=f.size) for f in tensor.factors)
    op = FactorOp(name="", kind="copy", digits=digits, inputs=(), output=store.source)
    return [Layout(partition=r.digits, block=r.block) for r in runs(op, target)]


def _in_target_order(tensor: FactorTensor, store: Store, layout: Layout) -> Layout:
    """The layout with its free factors in the order in which the store's target has them."""
    factor = {
        i.digit: f.name for f, i in zip(tensor.factors, store.source.index, strict=True) if i.digit
    }
    canonical = [f.name for f in geometry(tensor, layout).free]
    wanted = [factor[i.digit] for i in store.target.index if i.digit in factor]
    order = [n for n in wanted if n in canonical]
    order = [n for n in canonical if n not in order] + order
    return layout if order == canonical else replace(layout, free=tuple(order))


def reinterpret_candidate(context: Context, op: FactorOp) -> Candidate:
    """A view that no factoring serves, moved from HBM to HBM."""
    program = context.program
    source, result = op.accesses[0].tensor, op.output.tensor
    written = program.graph.ops[op.name]
    elements, row = reinterpreted_rows(program, written)
    ends = Ends(source=program.tensors[source], into=program.tensors[result], memory=Memory.HBM)
    busy = dma_ns(context.target, ends, 1, elements, row)
    return Candidate(
        ops=(op.name,),
        spec=Reinterpret(op=op.name),
        needs=(Need(slot="src", tensor=source, layout=None),),
        makes=(Need(slot="dst", tensor=result, layout=None),),
        busy_ns=rounded({"dma": busy}),
    )


def reinterpreted_rows(program: Program, op: Op) -> tuple[int, int]:
    """(elements moved, elements per contiguous row) of an opaque view in the user's dims."""
    read, write = op.operands[0], op.outputs[0]
    if op.kind != "copy" or any(len(d.terms) > 1 for d in (*read.index, *write.index)):
        size = program.graph.tensors[write.tensor].size
        return size, size
    elements = math.prod(a.size for a in op.axes)
    return elements, min(_neighbours(program, op, side) for side in (read, write))


def _neighbours(program: Program, op: Op, side: Operand) -> int:
    """Elements of the innermost axes that lie next to each other in a row-major tensor."""
    step_of: dict[int, int] = {}
    below = 1
    for size, dim in reversed([*zip(_shape(program, side), side.index, strict=True)]):
        step_of |= {t.axis: t.stride * below for t in dim.terms}
        below *= size
    row = 1
    for axis in reversed(range(len(op.axes))):
        if op.axes[axis].size > 1 and step_of.get(axis) != row:
            break
        row *= op.axes[axis].size
    return row


def _shape(program: Program, side: Operand) -> tuple[int, ...]:
    return program.graph.tensors[side.tensor].shape
