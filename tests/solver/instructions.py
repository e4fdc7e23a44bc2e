"""Every single instruction that computes some ops of a tiny program, from the op table alone.

Written from the instructions' documented meaning; shares nothing with the solver's templates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.program import Access, FactorOp, Program
from nkigen_cp.ir.nki.table import INSTRUCTIONS
from nkigen_cp.ir.tensor.graph import Immediate
from nkigen_cp.ir.tensor.table import OPS, Family
from nkigen_cp.solver.plan import Cover, Slot, Value
from nkigen_cp.targets import Target

Operand = Access | Immediate


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One op of a chain in the root's digits: its other operand, and if that comes first."""

    op: FactorOp
    other: Operand | None = None
    swapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Ops from the innermost to the root, each the only reader of the one before."""

    data: Access
    links: tuple[Link, ...]
    hidden: tuple[str, ...] = ()

    @property
    def ops(self) -> tuple[str, ...]:
        return tuple(k.op.name for k in self.links)


def _renamed(operand: Operand, names: Mapping[str, str]) -> Operand:
    if isinstance(operand, Immediate):
        return operand
    index = tuple(i if i.digit is None else replace(i, digit=names[i.digit]) for i in operand.index)
    return replace(operand, index=index)


def same_elements(written: Access, read: Access) -> dict[str, str] | None:
    """Digits of a writer as digits of its reader, where both go over a tensor alike."""
    pairs = list(zip(written.index, read.index, strict=True))
    if any((w.offset, w.step) != (r.offset, r.step) for w, r in pairs):
        return None
    if any((w.digit is None) != (r.digit is None) for w, r in pairs):
        return None
    return {w.digit: r.digit for w, r in pairs if w.digit is not None and r.digit is not None}


def sole_reader(program: Program, tensor: str) -> bool:
    """Exactly one operand of one op reads the tensor, and the caller does not."""
    reads = [a for o in program.ops.values() for a in o.accesses if a.tensor == tensor]
    return len(reads) == 1 and tensor not in program.outputs


def chains(program: Program, op: FactorOp, most: int = 3) -> Iterator[Chain]:
    """Chains of elementwise ops that end in ``op``."""
    names = {d.name: d.name for d in op.digits}
    yield from _chains(program, op, names, most)


def _chains(program: Program, op: FactorOp, names: Mapping[str, str], most: int) -> Iterator[Chain]:
    if OPS[op.kind].family not in (Family.ELEMENTWISE, Family.COPY):
        return
    for k, through in enumerate(op.inputs):
        if isinstance(through, Immediate):
            continue
        others = [i for j, i in enumerate(op.inputs) if j != k]
        data = _renamed(through, names)
        assert isinstance(data, Access)
        other = _renamed(others[0], names) if others else None
        link = Link(op=op, other=other, swapped=k == 1)
        yield Chain(data=data, links=(link,))
        producers = program.producers(through.tensor)
        if most == 1 or len(producers) != 1 or not sole_reader(program, through.tensor):
            continue
        inner = same_elements(producers[0].output, data)
        parallel = [d.name for d in producers[0].digits]
        if inner is not None and sorted(inner) == sorted(parallel):
            for before in _chains(program, producers[0], inner, most - 1):
                yield Chain(
                    data=before.data,
                    links=(*before.links, link),
                    hidden=(*before.hidden, through.tensor),
                )


def covers(program: Program, target: Target, op: FactorOp) -> list[Cover]:
    """All instructions whose last op is ``op``, contractions excepted."""
    if OPS[op.kind].family is Family.REDUCE:
        return [_reduction(op), *_accumulations(program, target, op)]
    found: list[Cover] = []
    for chain in chains(program, op):
        for propose in (_copies, _two_tensors, _scalars, _mixed, _activations, _reciprocals):
            found += propose(program, target, chain)
    return found


def _cover(
    chain: Chain,
    instruction: str,
    params: Mapping[str, Value],
    extra: tuple[Slot, ...] = (),
    data: str = "data",
) -> Cover:
    return Cover(
        instruction=instruction,
        ops=chain.ops,
        reads=(Slot(name=data, access=chain.data), *extra),
        writes=(Slot(name="dst", access=chain.links[-1].op.output),),
        params=dict(params),
        engines=INSTRUCTIONS[instruction].engines,
        internal=chain.hidden,
    )


def _alu(link: Link) -> str | None:
    return OPS[link.op.kind].alu if len(link.op.inputs) == 2 else None


def _copies(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    if len(chain.links) == 1 and chain.links[0].op.kind == "copy":
        yield _cover(chain, "tensor_copy", {}, data="src")


def _two_tensors(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    (link, *more) = chain.links
    if more or not isinstance(link.other, Access) or link.swapped:
        return
    alu = _alu(link)
    assert alu is not None
    slot = Slot(name="data2", access=link.other)
    yield _cover(chain, "tensor_tensor", {"op": alu}, (slot,), data="data1")


def _scalar(
    program: Program, link: Link, name: str, *, wide: bool
) -> tuple[dict[str, Value], tuple[Slot, ...]] | None:
    """The other operand as a number or as one value per partition; ``wide`` demands float32."""
    if isinstance(link.other, Immediate):
        return {name: float(link.other.value)}, ()
    if link.other is None or len(set(link.other.digits)) == len(link.op.digits):
        return None
    if wide and program.tensors[link.other.tensor].dtype.name != "float32":
        return None
    return {}, (Slot(name=name, access=link.other, column=True),)


def _scalars(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    if len(chain.links) > 2:
        return
    params: dict[str, Value] = {}
    slots: tuple[Slot, ...] = ()
    for k, link in enumerate(chain.links):
        alu, found = _alu(link), _scalar(program, link, f"operand{k}", wide=True)
        if alu is None or found is None:
            return
        params |= {f"op{k}": alu, **found[0]}
        if link.swapped and not OPS[link.op.kind].commutative:
            params[f"reverse{k}"] = True
        slots += found[1]
    yield _cover(chain, "tensor_scalar", params, slots)


def _mixed(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    if len(chain.links) != 2:
        return
    first, second = chain.links
    found, alus = _scalar(program, first, "operand0", wide=False), (_alu(first), _alu(second))
    if found is None or not isinstance(second.other, Access) or None in alus:
        return
    params: dict[str, Value] = {"op0": str(alus[0]), "op1": str(alus[1]), **found[0]}
    for k, link in enumerate(chain.links):
        if link.swapped and not OPS[link.op.kind].commutative:
            params[f"reverse{k}"] = True
    yield _cover(
        chain,
        "scalar_tensor_tensor",
        params,
        (*found[1], Slot(name="operand1", access=second.other)),
    )


def _activations(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    """Function of data * scale + bias; the reciprocal only where the result is 16-bit."""
    *before, last = chain.links
    function = OPS[last.op.kind].activation
    result = program.tensors[last.op.output.tensor].dtype
    if function not in target.activations or (function == "reciprocal" and result.size_bytes > 2):
        return
    if function == "reciprocal" and before:
        return
    kinds = [link.op.kind for link in before]
    if kinds not in ([], ["multiply"], ["add"], ["multiply", "add"]):
        return
    params: dict[str, Value] = {}
    slots: tuple[Slot, ...] = ()
    for link in before:
        wide = link.op.kind == "multiply"
        found = _scalar(program, link, "scale" if wide else "bias", wide=wide)
        if found is None:
            return
        params |= found[0]
        slots += found[1]
    yield _cover(chain, "activation", {**params, "op": str(function)}, slots)


def _reciprocals(program: Program, target: Target, chain: Chain) -> Iterator[Cover]:
    if len(chain.links) == 1 and chain.links[0].op.kind == "reciprocal":
        yield _cover(chain, "reciprocal", {})


def _reduction(op: FactorOp) -> Cover:
    return Cover(
        instruction="tensor_reduce",
        ops=(op.name,),
        reads=(Slot(name="data", access=op.accesses[0]),),
        writes=(Slot(name="dst", access=op.output),),
        params={"op": str(OPS[op.kind].alu)},
        engines=("vector",),
        reduced=tuple(d.name for d in op.digits if d.reduced),
    )


def _accumulations(program: Program, target: Target, op: FactorOp) -> Iterator[Cover]:
    """Instructions that also fold the rows they write; activations only sum."""
    data = op.accesses[0]
    producers = program.producers(data.tensor)
    if len(producers) != 1:
        return
    names = same_elements(producers[0].output, data)
    if names is None or sorted(names) != sorted(d.name for d in producers[0].digits):
        return
    for chain in _chains(program, producers[0], names, 3):
        summing = _activations(program, target, chain) if op.kind == "sum" else ()
        for cover in (*summing, *_steps(program, chain)):
            hidden = (data.tensor,) if sole_reader(program, data.tensor) else ()
            yield _reducing(replace(cover, internal=(*cover.internal, *hidden)), data, op)


def _steps(program: Program, chain: Chain) -> Iterator[Cover]:
    """One operator with a number or a float32 column, or none: a factor of 1 changes nothing."""
    (link, *more) = chain.links
    if more:
        return
    if link.op.kind == "copy":
        yield _cover(chain, "tensor_scalar_reduce", {"op0": "multiply", "operand0": 1.0})
    alu, found = _alu(link), _scalar(program, link, "operand0", wide=True)
    if alu is None or found is None or (link.swapped and not OPS[link.op.kind].commutative):
        return
    yield _cover(chain, "tensor_scalar_reduce", {"op0": alu, **found[0]}, found[1])


def _reducing(cover: Cover, data: Access, op: FactorOp) -> Cover:
    """The cover of what an op reduces, yielding the reduction as well."""
    return replace(
        cover,
        ops=(*cover.ops, op.name),
        writes=(
            Slot(name="dst", access=data),
            Slot(name="reduce_res", access=op.output, column=True),
        ),
        params={**cover.params, "reduce_op": str(OPS[op.kind].alu), "reduce_cmd": "reset_reduce"},
        reduced=tuple(d.name for d in op.digits if d.reduced),
    )


def _copied(op: FactorOp) -> Cover:
    """What an op reads written elsewhere, and the op's result with it."""
    data = op.accesses[0]
    step = Cover(
        instruction="tensor_scalar_reduce",
        ops=(),
        reads=(Slot(name="data", access=data),),
        writes=(),
        params={"op0": "multiply", "operand0": 1.0},
        engines=("vector",),
    )
    return _reducing(step, data, op)


def able(target: Target, cover: Cover) -> list[str]:
    """Engines that have all of the cover's operators; Scalar takes multiply, add or both so."""
    operators = [str(cover.params[k]) for k in ("op", "op0", "op1") if k in cover.params]
    if cover.instruction in ("activation", "reciprocal", "tensor_copy"):
        return list(cover.engines)
    found = [e for e in cover.engines if all(o in target.alu_ops[e] for o in operators)]
    if cover.instruction == "tensor_scalar":
        found = [e for e in found if e == "vector" or _scalar_pair(e, operators)]
    return found


def _scalar_pair(engine: str, operators: list[str]) -> bool:
    return engine == "scalar" and operators in (["multiply"], ["add"], ["multiply", "add"])


def in_contraction(program: Program, contraction: FactorOp, cover: Cover) -> Iterator[Cover]:
    """The cover as reader of the contraction's PSUM tiles, in the contraction's digits."""
    tensor = contraction.output.tensor
    uses = [s for s in cover.reads if s.access.tensor == tensor and not s.column]
    thrown = any(s.access.tensor in cover.internal for s in cover.writes)
    kept = any(s.access.tensor == tensor for s in cover.writes)
    if len(uses) != 1 or thrown or kept == sole_reader(program, tensor):
        return
    names = same_elements(contraction.output, uses[0].access)
    root = program.ops[cover.root]
    if names is None or sorted(names.values()) != sorted(d.name for d in root.digits):
        return
    back = {r: w for w, r in names.items()}

    def moved(slot: Slot) -> Slot:
        access = _renamed(slot.access, back)
        assert isinstance(access, Access)
        return replace(slot, access=access)

    yield replace(
        cover,
        ops=(contraction.name, *cover.ops),
        reads=tuple(moved(s) for s in cover.reads),
        writes=tuple(moved(s) for s in cover.writes),
        engines=tuple(e for e in cover.engines if e != "gpsimd"),
        internal=cover.internal if kept else (*cover.internal, tensor),
        reduced=tuple(back[d] for d in cover.reduced),
    )


def epilogues(program: Program, target: Target, op: FactorOp) -> list[Cover]:
    """What may read a contraction's tiles: a copy, or covers of its readers."""
    copy = Cover(
        instruction="tensor_copy",
        ops=(op.name,),
        reads=(Slot(name="src", access=op.output),),
        writes=(Slot(name="dst", access=op.output),),
        engines=("vector", "scalar"),
    )
    roots = [o for o in program.ops.values() if o.kind != "contract"]
    all_covers = list(itertools.chain.from_iterable(covers(program, target, o) for o in roots))
    all_covers += [_copied(o) for o in roots if OPS[o.kind].family is Family.REDUCE]
    return [copy, *(f for c in all_covers for f in in_contraction(program, op, c))]
