"""Contractions: every digit has one role, tiles respect the array and PSUM, streams are legal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.program import Access, FactorOp
from nkigen_cp.solver.check.facts import Facts
from nkigen_cp.solver.check.geometry import demanded, satisfies, shape_of
from nkigen_cp.solver.plan import Contract, Run, Step


def contractions(facts: Facts) -> Iterator[tuple[Step, Contract, FactorOp]]:
    """The plan's contraction steps."""
    for step in facts.plan.steps:
        if isinstance(step.spec, Contract):
            yield step, step.spec, facts.program.ops[step.spec.op]


def sides(op: FactorOp, spec: Contract) -> dict[str, Access]:
    """Accesses of the two operands by role."""
    lhs, rhs = op.accesses
    first, second = (lhs, rhs) if spec.stationary == "lhs" else (rhs, lhs)
    return {"stationary": first, "moving": second}


def roles(facts: Facts) -> Iterator[str]:
    """Each digit is on partitions, in a tile, looped or accumulated; on the side it belongs to."""
    for step, spec, op in contractions(facts):
        where = f"step {step.name!r}"
        side = {n: a.digits for n, a in sides(op, spec).items()}
        given = Counter((*spec.m_run.digits, *spec.loops))
        given.update(t.digit for t in (*spec.moving, *spec.items))
        summed = Counter((*spec.k_run.digits, *spec.accumulate))
        if given != Counter(d.name for d in op.parallel):
            yield f"{where} does not give each parallel digit one role: {sorted(given.elements())}"
        if summed != Counter(d.name for d in op.digits if d.reduced):
            yield f"{where} does not sum each contracted digit once: {sorted(summed.elements())}"
        alone = [("stationary", "moving", d) for d in spec.m_run.digits]
        alone += [("moving", "stationary", t.digit) for t in spec.moving]
        for own, other, digit in alone:
            if digit not in side[own] or digit in side[other]:
                yield f"{where}: {digit} is no digit of the {own} operand alone"
        for digit in (d for a in sides(op, spec).values() for d in a.slides):
            if digit not in spec.accumulate:
                yield f"{where}: {digit} moves a window, but is not taken position by position"
        if spec.epilogue.run != spec.m_run:
            yield f"{where}: the epilogue's partitions are not those of the PSUM tile"


def limits(facts: Facts) -> Iterator[str]:
    """Tiles within the systolic array and one PSUM bank; dtypes it multiplies."""
    target = facts.target
    for step, spec, op in contractions(facts):
        columns = math.prod(t.block for t in spec.moving)
        tile = columns * math.prod(t.block for t in spec.items) * FLOAT32.size_bytes
        for what, size, most in (
            ("contraction", _partitions(op, spec.k_run), target.contraction_max),
            ("stationary free size", _partitions(op, spec.m_run), target.stationary_free_max),
            ("moving free size", columns, target.moving_free_max),
            ("PSUM tile in bytes", tile, target.psum_bank_bytes),
        ):
            if size > most:
                yield f"step {step.name!r}: {what} {size}, at most {most} on {target.name}"
        names = [facts.tensor(a.tensor).dtype.name for a in sides(op, spec).values()]
        if spec.double_row and not _takes_two_rows(op, spec):
            yield f"step {step.name!r} has operands that double-row matmuls cannot read"
        if spec.double_row and not set(names) <= set(target.double_row_dtypes):
            yield f"step {step.name!r} multiplies two rows at a time of {' and '.join(names)}"
        mixed = FLOAT32.name in names and names[0] != names[1]
        if mixed or not set(names) <= set(target.matmul_dtypes):
            yield f"step {step.name!r} multiplies {' with '.join(names)}"


def _takes_two_rows(op: FactorOp, spec: Contract) -> bool:
    """Whether stationary and moving blocks are (rows, 2, columns), with more than one column."""
    if len(spec.m_run.digits) != 1 or len(spec.moving) != 1 or not spec.k_run.digits:
        return False
    tiles = {spec.m_run.digits[0]: spec.m_run.block, spec.moving[0].digit: spec.moving[0].block}
    columns = [n for d, block in tiles.items() for n in (block, op.size(d) % block or block)]
    return min(columns) > 1


def _partitions(op: FactorOp, run: Run) -> int:
    return run.block * math.prod(op.size(d) for d in run.digits[1:]) if run.digits else 1


def operands(facts: Facts) -> Iterator[str]:
    """Both operands have the contraction on their partitions, in the same blocks."""
    for step, spec, op in contractions(facts):
        if spec.k_run.partitions != _partitions(op, spec.k_run):
            yield f"step {step.name!r}: {spec.k_run} does not add up"
        held = {u.slot: facts.forms[u.form].layout for u in step.reads}
        for name, access in sides(op, spec).items():
            wanted = demanded(facts.tensor(access.tensor), access, spec.k_run)
            where = f"step {step.name!r}: {name} {access.tensor!r}"
            streamed = spec.stream is not None and spec.stream.slot == name
            layout = held[name]
            if isinstance(wanted, str):
                yield f"{where}: {wanted}"
            elif spec.k_run.digits and not wanted.partition:
                yield f"{where} lacks the contracted digits {spec.k_run.digits}"
            elif streamed and layout is not None:
                yield f"{where} is streamed, but its form is on chip"
            elif not streamed and (layout is None or not satisfies(layout, wanted)):
                yield f"{where} is held as {layout or 'HBM'}, its run demands {wanted}"


def streams(facts: Facts) -> Iterator[str]:
    """A stream walks a digit of its operand alone, in blocks that no tile straddles."""
    for step, spec, op in contractions(facts):
        stream = spec.stream
        if stream is None:
            continue
        both = sides(op, spec)
        own = both.pop(stream.slot)
        (other,) = both.values()
        where = f"step {step.name!r}: stream along {stream.digit}"
        if step.path:
            yield f"{where} inside of loops"
            continue
        if stream.digit not in own.digits or stream.digit in other.digits:
            yield f"{where}, which is no digit of the {stream.slot} operand alone"
            continue
        whole = len(set(own.digits)) == len(own.index)
        if not whole or any(i.offset or i.step != 1 or i.slide for i in own.index):
            yield f"{where} of a window of {own.tensor!r}"
        unit = {t.digit: t.block for t in (*spec.items, *spec.moving)}
        unit |= dict.fromkeys(spec.m_run.digits[1:], op.size(stream.digit))
        unit |= dict.fromkeys(spec.m_run.digits[:1], spec.m_run.block)
        if stream.block % unit.get(stream.digit, 1):
            yield f"{where} in blocks of {stream.block} cuts tiles of {unit[stream.digit]}"


def stream_bytes(facts: Facts, op: FactorOp, spec: Contract) -> int:
    """SBUF bytes per partition of the streamed blocks alive at once."""
    stream = spec.stream
    if stream is None:
        return 0
    access = sides(op, spec)[stream.slot]
    tensor = facts.tensor(access.tensor)
    wanted = demanded(tensor, access, spec.k_run)
    assert not isinstance(wanted, str)
    shape = shape_of(tensor, wanted)
    names = zip(tensor.factors, access.index, strict=True)
    factor = next(f.name for f, i in names if i.digit == stream.digit)
    rest = math.prod(n for name, n in shape.free.items() if name != factor)
    block = shape.chunks * rest * stream.block * tensor.dtype.size_bytes
    return stream.copies * (math.ceil(block / 4) * 4)
