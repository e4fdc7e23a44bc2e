"""Covers as instructions: engine and operators, layouts of the operands, loops that suffice."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.ir.nki.table import Parameter
from nkigen_cp.solver.check.facts import EVICTORS, Covered, Facts, covers
from nkigen_cp.solver.check.geometry import (
    demanded,
    digit_strides,
    merged_dims,
    on_partitions,
    satisfies,
    shape_of,
)
from nkigen_cp.solver.plan import CHUNK, Layout, Slot

OPERATORS = ("op", "op0", "op1", "reduce_op")


def engines(facts: Facts) -> Iterator[str]:
    """The engine runs the instruction and, on this target, all of its operators."""
    for c in covers(facts):
        row = COVERING[c.cover.instruction]
        engine, where = c.spec.engine, f"step {c.step.name!r}"
        if engine not in row.engines or engine not in c.cover.engines:
            yield f"{where}: {row.name} does not run on {engine}"
            continue
        activation = "activation_function" in row.rules
        operators = ("op",) if activation else OPERATORS
        named = [c.cover.params[k] for k in operators if k in c.cover.params]
        able = facts.target.activations if activation else facts.target.alu_ops[engine]
        for operator in named:
            if operator not in able:
                yield f"{where}: {engine} of {facts.target.name} has no {operator!r}"
        if c.psum is not None and engine not in EVICTORS:
            yield f"{where}: {engine} cannot read PSUM"


def dtypes(facts: Facts) -> Iterator[str]:
    """Columns that an instruction reads as float32 are; its reciprocal function is narrow."""
    for c in covers(facts):
        row = COVERING[c.cover.instruction]
        for slot in c.cover.reads:
            parameter = row.parameter(slot.name)
            dtype = facts.tensor(slot.access.tensor).dtype.name
            if parameter is not None and dtype != _demanded_dtype(
                row.rules, slot, parameter, dtype
            ):
                yield f"step {c.step.name!r}: {row.name} takes no {dtype} as {slot.name}"
        result = facts.tensor(c.cover.writes[0].access.tensor).dtype
        function = c.cover.params.get("op") if "activation_function" in row.rules else None
        if function == "reciprocal" and result.size_bytes > 2:
            yield f"step {c.step.name!r}: the reciprocal function is too coarse for {result}"


def _demanded_dtype(rules: tuple[str, ...], slot: Slot, parameter: Parameter, dtype: str) -> str:
    if parameter.dtype:
        return parameter.dtype
    return "float32" if slot.column and "vector_float32" in rules else dtype


def runs(facts: Facts) -> Iterator[str]:
    """What lies on the partitions are parallel digits, whole behind the first, that fit."""
    for c in covers(facts):
        run, where = c.run, f"step {c.step.name!r}"
        parallel = {d.name: d.size for d in c.domain.parallel}
        if not set(run.digits) <= set(parallel):
            yield f"{where} puts reduced digits on the partitions: {run.digits}"
        else:
            problems = on_partitions(run, parallel, facts.target)
            yield from (f"{where} {problem}" for problem in problems)


def layouts(facts: Facts) -> Iterator[str]:
    """Every operand's form has what the run puts on the partitions; what is written is no copy."""
    for c in covers(facts):
        held = {u.slot: facts.forms[u.form].layout for u in (*c.step.reads, *c.step.writes)}
        for slot in (*c.cover.reads, *c.cover.writes):
            tensor = facts.tensor(slot.access.tensor)
            wanted = demanded(tensor, slot.access, c.run)
            where = f"step {c.step.name!r}: {slot.name} {tensor.name!r}"
            if isinstance(wanted, str):
                yield f"{where}: {wanted}"
                continue
            if slot in c.cover.writes and c.run.digits and not wanted.partition:
                yield f"{where} is written to one place from {c.run.partitions} partitions"
            hidden = slot in c.cover.writes and tensor.name in c.cover.internal
            if hidden or (slot in c.cover.reads and tensor.name == c.psum):
                continue
            layout = held[slot.name]
            if layout is None or not satisfies(layout, wanted):
                yield f"{where} is held as {layout or 'HBM'}, its run demands {wanted}"


def columns(facts: Facts) -> Iterator[str]:
    """A column operand has one value per partition at every instruction."""
    for c in covers(facts):
        given = set(c.run.digits) | set(c.spec.loops) | set(_outer_loops(c))
        chunked = c.psum is None and c.run.digits and CHUNK not in c.spec.loops
        chunked = chunked and c.domain.size(c.run.digits[0]) > c.run.block
        for slot in (*c.cover.reads, *c.cover.writes):
            parameter = COVERING[c.cover.instruction].parameter(slot.name)
            one_value = parameter is not None and (
                parameter.role.value == "vector" or parameter.name == "reduce_res"
            )
            if one_value != slot.column:
                yield f"step {c.step.name!r}: {slot.name} is {'no ' * (not one_value)}column"
            elif one_value:
                free = [d for d in slot.access.digits if d not in given]
                blocked = chunked and any(d in slot.access.digits for d in c.run.digits)
                if free or blocked:
                    along = free[0] if free else "the chunks"
                    yield f"step {c.step.name!r}: column {slot.name} varies along {along}"
        if c.cover.reduced and "reduce_res" in [s.name for s in c.cover.writes] and chunked:
            yield f"step {c.step.name!r} accumulates several chunks into one"


def _outer_loops(c: Covered) -> tuple[str, ...]:
    """Digits that the loops around a PSUM tile give one position of."""
    if c.tiles is None:
        return ()
    return tuple(d.name for d in c.domain.parallel if d.name not in c.tiles)


def loops(facts: Facts) -> Iterator[str]:
    """Loops run over free digits once each; what they leave fits into the access patterns."""
    for c in covers(facts):
        where = f"step {c.step.name!r}"
        tiles = [d.name for d in c.domain.digits] if c.tiles is None else [*c.tiles]
        free = [d for d in (*((CHUNK,) if c.psum is None else ()), *tiles) if d not in c.run.digits]
        if len(set(c.spec.loops)) < len(c.spec.loops) or not set(c.spec.loops) <= set(free):
            yield f"{where} loops over {c.spec.loops}, its free digits are {free}"
        rows = (*c.cover.reduced, *c.cover.made)
        accumulated = [d for d in rows if d in (*c.spec.loops, *c.run.digits)]
        if accumulated or not _within_tile(c):
            yield f"{where} splits the reduction over {rows}"
            continue
        yield from _rows(c)
        for slot in (*c.cover.reads, *c.cover.writes):
            dims = _pattern(facts, c, slot)
            if dims > facts.target.access_free_dims_max:
                yield (
                    f"{where}: {slot.name} needs an access pattern of {dims} free dims, "
                    f"{facts.target.name} has {facts.target.access_free_dims_max}"
                )


def _rows(c: Covered) -> Iterator[str]:
    """A function of rows gets one row per partition at a time, all of it."""
    whole = [d.name for d in c.domain.digits if d.whole]
    named = [*c.cover.made, *(d for d in c.cover.reduced if d not in c.cover.made)]
    if not (c.cover.made or whole):
        return
    where = f"step {c.step.name!r}"
    made = [d.name for d in c.domain.digits if d.whole and not d.reduced]
    if c.tiles is not None or sorted(named) != sorted(whole) or list(c.cover.made) != made:
        yield f"{where} takes {named} for the rows of {c.domain.name!r}, they are {whole}"
    chunks = [CHUNK] if c.run.digits and c.domain.size(c.run.digits[0]) > c.run.block else []
    free = [d.name for d in c.domain.digits if d.name not in (*whole, *c.run.digits)]
    several = [d for d in (*chunks, *free) if d not in c.spec.loops]
    if several:
        yield f"{where} has several rows along {several} in one instruction"


def _within_tile(c: Covered) -> bool:
    """A PSUM tile has whole rows of what is reduced, as its innermost dims."""
    if c.tiles is None:
        return True
    whole = [d for d, block in c.tiles.items() if block == c.domain.size(d)]
    count = len(c.cover.reduced)
    return set(c.cover.reduced) <= set(whole) and (
        not count or set([*c.tiles][-count:]) == set(c.cover.reduced)
    )


def order_of(c: Covered) -> list[str]:
    """Digits of an instruction's free dims: chunks, the output's order, then what is reduced."""
    if c.tiles is not None:
        return [d for d in c.tiles if d not in c.spec.loops]
    written = [d for d in c.domain.output.digits if d not in (*c.run.digits, *c.cover.made)]
    written += c.cover.made
    order = [CHUNK, *written, *(d for d in c.cover.reduced if d not in written)]
    return [d for d in order if d not in c.spec.loops]


def slot_strides(facts: Facts, c: Covered, slot: Slot) -> dict[str, int]:
    """Elements that a step along each free digit moves within a partition of the operand."""
    tensor = facts.tensor(slot.access.tensor)
    if slot in c.cover.reads and tensor.name == c.psum:
        assert c.tiles is not None
        strides: dict[str, int] = {}
        step = 1
        for digit in reversed([*c.tiles]):
            strides[digit] = step
            step *= c.tiles[digit]
        return strides
    form = c.form(slot.name)
    layout = demanded(tensor, slot.access, c.run) if form is None else facts.forms[form].layout
    assert isinstance(layout, Layout)
    return digit_strides(tensor, slot.access, shape_of(tensor, layout), CHUNK)


def slot_order(c: Covered, slot: Slot) -> list[str]:
    """Free dims of one operand: none of a column, of rows those that it has."""
    if slot.column:
        return []
    resizes = c.cover.instruction in ("tensor_reduce", "top", "find")
    lacking = (c.cover.made if slot.name == "data" else c.cover.reduced) if resizes else ()
    return [d for d in order_of(c) if d not in lacking]


def _pattern(facts: Facts, c: Covered, slot: Slot) -> int:
    strides = slot_strides(facts, c, slot)
    sizes = {d.name: d.size for d in c.domain.digits} | dict(c.tiles or {})
    sizes[CHUNK] = c.domain.size(c.run.digits[0]) // c.run.block if c.run.digits else 1
    return merged_dims([(sizes[d], strides.get(d, 0)) for d in slot_order(c, slot)])
