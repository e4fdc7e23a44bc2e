"""Which candidates do what a demand asks for: rows of a table, one per kind of demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.solver.candidates import Candidate
from nkigen_cp.solver.plan import Contract, Elementwise
from nkigen_cp.solver.plan.layout import Layout, geometry
from nkigen_cp.solver.plan.pin_names import (
    axes_of,
    computing,
    is_given,
    named_factors,
    on_partitions,
    tensors_of,
)
from nkigen_cp.solver.plan.pins import FUSE, Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A demand in a program: the tensors it is about and the ops that compute them."""

    demand: Demand
    tensors: tuple[str, ...]
    ops: Mapping[str, FactorOp]

    def allows(self, program: Program, candidate: Candidate) -> bool:
        """Whether the candidate does what the demand asks for, or has nothing to do with it."""
        rule = _RULES.get(self.demand.kind)
        return rule is None or all(
            rule(self, program, candidate, t) for t in self._touched(program, candidate)
        )

    def _touched(self, program: Program, candidate: Candidate) -> list[str]:
        """The demand's tensors that the candidate computes; of inputs those that it reads."""
        made = {self.ops[o].output.tensor for o in candidate.ops if o in self.ops}
        read = {n.tensor for n in candidate.needs if n.layout is not None}
        return [
            t
            for t in (*self.tensors, *(f"{t}.part" for t in self.tensors))
            if t in made or (t in read and is_given(program, t))
        ]


def judges_of(program: Program, wanted: Sequence[Demand]) -> tuple[Judge, ...]:
    """The demands in the names of one program."""
    found: list[Judge] = []
    for demand in wanted:
        tensors = tensors_of(program, demand.tensor)
        ops = [o for t in tensors for o in computing(program, t)]
        found.append(Judge(demand=demand, tensors=tensors, ops={o.name: o for o in ops}))
    return tuple(found)


def _layout(candidate: Candidate, tensor: str) -> Layout | None:
    places = (*candidate.makes, *candidate.needs)
    return next((n.layout for n in places if n.tensor == tensor and n.layout is not None), None)


def _domain(program: Program, candidate: Candidate) -> tuple[FactorOp, Elementwise] | None:
    """The op in whose digits the candidate's instruction runs, and the instruction."""
    spec = candidate.spec
    if isinstance(spec, Contract):
        return program.ops[spec.op], spec.epilogue
    return (program.ops[spec.cover.root], spec) if isinstance(spec, Elementwise) else None


def _partition(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    held, layout = program.tensors[tensor], _layout(candidate, tensor)
    found = _domain(program, candidate)
    if layout is not None:
        factors = layout.partition
    elif found is not None:
        domain, spec = found
        factors = on_partitions(program, candidate.ops, domain, spec.run.digits, tensor)
    else:
        factors = ()
    names = judge.demand.value if isinstance(judge.demand.value, tuple) else ()
    wanted = named_factors(held, names, axes_of(program, tensor.removesuffix(".part")))
    if wanted is None or not factors:
        return False
    each = all(any(f in own for f in factors) for own in wanted.values())
    return each and all(any(f in own for own in wanted.values()) for f in factors)


def _tile(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    layout, found = _layout(candidate, tensor), _domain(program, candidate)
    if layout is not None:
        return geometry(program.tensors[tensor], layout).partitions == judge.demand.value
    return found is not None and found[1].run.partitions == judge.demand.value


def _engine(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    del tensor
    found = _domain(program, candidate)
    if found is None:
        return judge.demand.value in candidate.busy_ns
    multiplies = isinstance(candidate.spec, Contract) and candidate.spec.op in judge.ops
    return judge.demand.value in (found[1].engine, *(("tensor",) if multiplies else ()))


def _instruction(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    del tensor
    found = _domain(program, candidate)
    if found is None:
        return False
    multiplies = isinstance(candidate.spec, Contract) and candidate.spec.op in judge.ops
    names = (found[1].cover.instruction, *(("nc_matmul",) if multiplies else ()))
    return judge.demand.value in names


def _stationary(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    del tensor
    spec = candidate.spec
    if not isinstance(spec, Contract) or spec.op not in judge.ops:
        return True
    lhs, rhs = program.ops[spec.op].accesses
    side = lhs if spec.stationary == "lhs" else rhs
    return judge.demand.value in (spec.stationary, side.tensor)


def _fused(judge: Judge, program: Program, candidate: Candidate, tensor: str) -> bool:
    del tensor
    partners = [
        o for t in tensors_of(program, str(judge.demand.value)) for o in computing(program, t)
    ]
    own = next(program.ops[o] for o in candidate.ops if o in judge.ops)
    inside = any(p.name in candidate.ops for p in partners)
    return inside or bool(own.path and any(p.path == own.path for p in partners))


Rule = Callable[[Judge, Program, Candidate, str], bool]

_RULES: Mapping[str, Rule] = {
    "partition": _partition,
    "tile": _tile,
    "engine": _engine,
    "instruction": _instruction,
    "stationary": _stationary,
    FUSE: _fused,
}
"""Kind -> whether a candidate that computes (or reads) the tensor does what is asked for."""
