"""Instruction cover: which single instructions compute which ops, from a table of templates.

The intermediate results of a template's chain never materialise, so each must have the next op as
its only reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import Access, FactorIndex, FactorOp, Program
from nkigen_cp.ir.tensor.graph import Immediate
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.functions_of_rows import row_covers
from nkigen_cp.solver.plan import Cover, Slot, Value
from nkigen_cp.solver.selections import selections
from nkigen_cp.solver.templates import ACCUMULATORS, TEMPLATES, Stage, Template

SPECIAL: Mapping[str, Callable[[Program, FactorOp], list[Cover]]] = {"select": selections}
"""Ops of more than two operands have covers of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partial:
    """A chain matched from the root down to some stage; accesses are in the root's digits."""

    ops: tuple[str, ...]
    data: Access
    reads: tuple[Slot, ...]
    params: tuple[tuple[str, Value], ...]
    internal: tuple[str, ...]


def covers_of(program: Program, op: FactorOp) -> list[Cover]:
    """Every cover whose root is ``op``; contractions and moves have none of their own here."""
    family = OPS[op.kind].family
    if family is Family.REDUCE:
        return _reductions(program, op)
    if family is Family.ROW:
        return row_covers(program, op)
    if family not in (Family.ELEMENTWISE, Family.COPY):
        return []
    if op.kind in SPECIAL:
        return SPECIAL[op.kind](program, op)
    return [c for t in TEMPLATES for c in _match(program, op, t)]


def _match(program: Program, op: FactorOp, template: Template) -> list[Cover]:
    result = program.tensors[op.output.tensor]
    if template.narrow_only and result.dtype.size_bytes > 2:
        return []
    partials = _stage(program, op, None, template.stages[-1])
    for stage in reversed(template.stages[:-1]):
        deeper: list[_Partial] = []
        for partial in partials:
            found = inner_producer(program, partial.data, op)
            if found is not None:
                deeper += [
                    _join(partial, p, partial.data.tensor)
                    for p in _stage(program, found.op, found.rename, stage)
                ]
        partials = deeper
    return [
        Cover(
            instruction=template.instruction,
            ops=p.ops,
            reads=(Slot(name=template.data, access=p.data), *p.reads),
            writes=(Slot(name="dst", access=op.output),),
            params=dict((*template.fixed, *p.params)),
            engines=template.engines,
            internal=p.internal,
        )
        for p in partials
    ]


def _join(outer: _Partial, inner: _Partial, tensor: str) -> _Partial:
    return _Partial(
        ops=(*inner.ops, *outer.ops),
        data=inner.data,
        reads=(*inner.reads, *outer.reads),
        params=(*inner.params, *outer.params),
        internal=(*inner.internal, *outer.internal, tensor),
    )


def _stage(
    program: Program, op: FactorOp, rename: dict[str, str] | None, stage: Stage
) -> list[_Partial]:
    row = OPS[op.kind]
    operator = _operator(op, stage)
    family = Family.COPY if stage.takes == "copy" else Family.ELEMENTWISE
    if row.family is not family or operator is None or (stage.only and operator not in stage.only):
        return []
    named: tuple[tuple[str, Value], ...] = ((stage.operator, operator),) if stage.operator else ()
    if stage.takes not in ("alu", "integers"):
        return [_single(op, rename, named)]
    found: list[_Partial] = []
    for main, other in ((0, 1), (1, 0)):
        p = _binary(program, op, rename, stage, main, other, named)
        if p is not None:
            found.append(p)
    return found


def _operator(op: FactorOp, stage: Stage) -> str | None:
    """What the op is to the stage, by the hardware's name."""
    row = OPS[op.kind]
    arithmetic = "integers" if row.integers else "alu"
    names = {arithmetic: row.alu, "activation": row.activation, "copy": op.kind}
    return names.get(stage.takes)


def _takes_operand(stage: Stage, operand: Access | Immediate) -> bool:
    """Whether the stage's second input may be a number, or a tensor."""
    return stage.operand_is != ("tensor" if isinstance(operand, Immediate) else "number")


def _single(
    op: FactorOp, rename: dict[str, str] | None, named: tuple[tuple[str, Value], ...]
) -> _Partial:
    data = op.accesses[0]
    return _Partial(ops=(op.name,), data=renamed(data, rename), reads=(), params=named, internal=())


def _binary(  # noqa: PLR0913, PLR0917
    program: Program,
    op: FactorOp,
    rename: dict[str, str] | None,
    stage: Stage,
    main: int,
    other: int,
    named: tuple[tuple[str, Value], ...],
) -> _Partial | None:
    data, operand = op.inputs[main], op.inputs[other]
    if isinstance(data, Immediate) or not _takes_operand(stage, operand):
        return None
    reversed_ = main == 1 and not OPS[op.kind].commutative
    if reversed_ and not stage.reverse:
        return None
    params = (*named, (stage.reverse, True)) if reversed_ else named
    reads: tuple[Slot, ...] = ()
    if isinstance(operand, Immediate):
        number = int if stage.takes == "integers" else float
        params = (*params, (stage.operand, number(operand.value)))
    else:
        if stage.operand_dtypes:
            name = program.tensors[operand.tensor].dtype.name
            if name not in stage.operand_dtypes:
                return None
        column = stage.operand_is == "scalar"
        if column and set(operand.digits) == {d.name for d in op.digits}:
            return None
        reads = (Slot(name=stage.operand, access=renamed(operand, rename), column=column),)
    return _Partial(
        ops=(op.name,), data=renamed(data, rename), reads=reads, params=params, internal=()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """The only producer of an operand, with its digits renamed into the reader's."""

    op: FactorOp
    rename: dict[str, str]


def inner_producer(program: Program, access: Access, reader: FactorOp) -> Inner | None:
    """The op that computes exactly what ``access`` reads and nobody else does, or None.

    ``access`` is in the digits of ``reader``.
    """
    writers = program.producers(access.tensor)
    readers = [
        a for o in program.consumers(access.tensor) for a in o.accesses if a.tensor == access.tensor
    ]
    if len(writers) != 1 or len(readers) != 1 or program.leaves(access.tensor):
        return None
    rename = align(writers[0], access, reader)
    if rename is None or set(rename) != {d.name for d in writers[0].digits if not d.reduced}:
        return None
    return Inner(op=writers[0], rename=rename)


def align(writer: FactorOp, read: Access, reader: FactorOp) -> dict[str, str] | None:
    """Digits of the writer -> digits of the reader, if both address the same positions alike."""
    written = writer.output
    rename: dict[str, str] = {}
    if len(written.index) != len(read.index):  # one of them addresses the tensor as a whole
        return None
    for w, r in zip(written.index, read.index, strict=True):
        if (w.offset, w.step) != (r.offset, r.step) or (w.digit is None) != (r.digit is None):
            return None
        if w.digit is not None and r.digit is not None:
            if writer.size(w.digit) != reader.size(r.digit):
                return None
            rename[w.digit] = r.digit
    return rename


def renamed(access: Access, rename: dict[str, str] | None) -> Access:
    """The access with its digits renamed; None leaves it as it is."""
    if rename is None:
        return access
    index = tuple(
        i
        if i.digit is None
        else FactorIndex(digit=rename.get(i.digit, i.digit), offset=i.offset, step=i.step)
        for i in access.index
    )
    return Access(tensor=access.tensor, index=index)


def _reductions(program: Program, op: FactorOp) -> list[Cover]:
    data = op.accesses[0]
    reduced = tuple(d.name for d in op.digits if d.reduced)
    plain = Cover(
        instruction="tensor_reduce",
        ops=(op.name,),
        reads=(Slot(name="data", access=data),),
        writes=(Slot(name="dst", access=op.output),),
        params={"op": OPS[op.kind].alu or "add"},
        engines=("vector",),
        reduced=reduced,
    )
    return [plain, *_accumulating(program, op, reduced)]


def _accumulating(program: Program, op: FactorOp, reduced: tuple[str, ...]) -> list[Cover]:
    """Instructions whose accumulator yields the reduction of what they write."""
    data = op.accesses[0]
    writers = program.producers(data.tensor)
    if len(writers) != 1 or first_reduction(program, data.tensor) is not op:
        return []
    rename = align(writers[0], data, op)
    if rename is None or set(rename) != {d.name for d in writers[0].digits}:
        return []
    sole = len(program.consumers(data.tensor)) == 1 and not program.leaves(data.tensor)
    hidden = (data.tensor,) if sole else ()
    return [
        replace(
            cover,
            ops=(*cover.ops, op.name),
            reads=tuple(replace(s, access=renamed(s.access, rename)) for s in cover.reads),
            writes=_kept_and_folded(data, op),
            params={**cover.params, **_accumulator(op)},
            internal=(*cover.internal, *hidden),
            reduced=reduced,
        )
        for template in ACCUMULATORS.get(op.kind, ())
        for cover in _match(program, writers[0], template)
    ]


def first_reduction(program: Program, tensor: str) -> FactorOp | None:
    """The reduction that may share an instruction with the producer of what it reduces.

    It directly follows the producer in the order of execution; another one would come to write the
    tensor after the first has read it.
    """
    writers = program.producers(tensor)
    for reader in program.consumers(tensor):
        templates = ACCUMULATORS.get(reader.kind, ())
        if any(w.kind == "contract" or _match(program, w, t) for w in writers for t in templates):
            return reader
    return None


def _kept_and_folded(data: Access, op: FactorOp) -> tuple[Slot, ...]:
    return (
        Slot(name="dst", access=data),
        Slot(name="reduce_res", access=op.output, column=True),
    )


def _accumulator(op: FactorOp) -> dict[str, Value]:
    return {"reduce_op": OPS[op.kind].alu or "add", "reduce_cmd": "reset_reduce"}


def copying_reduction(op: FactorOp) -> Cover:
    """A copy of what a reduction reads that yields the reduction: how PSUM tiles are evicted."""
    data = op.accesses[0]
    return Cover(
        instruction="tensor_scalar_reduce",
        ops=(op.name,),
        reads=(Slot(name="data", access=data),),
        writes=_kept_and_folded(data, op),
        params={"op0": "multiply", "operand0": 1.0, **_accumulator(op)},
        engines=("vector",),
        reduced=tuple(d.name for d in op.digits if d.reduced),
    )
