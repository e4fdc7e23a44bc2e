"""Moves between forms: each kind's source and target, its tiles, its constants."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.recipes import COVERING
from nkigen_cp.solver.check.facts import EVICTORS, Facts
from nkigen_cp.solver.check.geometry import merged_dims, shape_of
from nkigen_cp.solver.check.reorders import free_strides, reordered_sizes
from nkigen_cp.solver.plan import (
    Form,
    Generate,
    Layout,
    Load,
    Reorder,
    Replicate,
    Step,
    Store,
    Transpose,
)


def moves(facts: Facts) -> Iterator[str]:
    """Loads, stores, transposes, replications and on-chip constants do what they say."""
    for step in facts.plan.steps:
        check = _CHECKS.get(type(step.spec))
        if check is not None:
            yield from (f"step {step.name!r} {problem}" for problem in check(facts, step))


def _ends(facts: Facts, step: Step) -> tuple[Form, Form]:
    return facts.forms[step.reads[0].form], facts.forms[step.writes[0].form]


def _load(facts: Facts, step: Step) -> Iterator[str]:
    source, target = _ends(facts, step)
    if source.layout is not None or target.layout is None:
        yield "does not load from HBM into SBUF"
    elif target.layout.replicas > 1:
        yield f"loads {target.layout.replicas} copies; a DMA makes one"


def _store(facts: Facts, step: Step) -> Iterator[str]:
    source, target = _ends(facts, step)
    spec = step.spec
    assert isinstance(spec, Store)
    if target.layout is not None:
        yield "stores into a form on chip"
    layout = source.layout
    if layout is None:
        return
    if layout.replicas > 1:
        yield "stores from replicas"


def _transpose(facts: Facts, step: Step) -> Iterator[str]:
    source, target = _ends(facts, step)
    spec = step.spec
    assert isinstance(spec, Transpose)
    a, b = source.layout, target.layout
    if a is None or b is None or not a.partition or not b.partition:
        yield "does not lie between two partition layouts"
        return
    fixed = {f.factor for f in (*a.fixed, *b.fixed)}
    if set(a.partition) & {*b.partition, *fixed} or set(b.partition) & fixed:
        yield f"does not find the partitions of {a} and {b} in each other's free dims"
        return
    tensor = facts.tensor(spec.tensor)
    if spec.engine not in EVICTORS:
        yield f"evicts PSUM on {spec.engine}"
    if tensor.dtype.size_bytes < 2:
        yield f"transposes {tensor.dtype}; elements need 2 or 4 bytes"
    yield from _transposed_items(facts, spec, a, b)


def _transposed_items(facts: Facts, spec: Transpose, a: Layout, b: Layout) -> Iterator[str]:
    """Blocks that share a bank: of a factor on neither side, or whole chunks of the new one."""
    tensor = facts.tensor(spec.tensor)
    apart = (*a.partition, *(f.factor for f in (*a.fixed, *b.fixed)))
    columns = shape_of(tensor, a).partitions
    if len(spec.items) > 1:
        yield "puts more than one digit of blocks into a bank"
    for item in spec.items:
        sizes = {f.name: f.size for f in tensor.factors if f.name not in apart}
        size = sizes.get(item.digit, 0)
        if not 1 <= item.block <= size or item.digit in b.partition[1:]:
            yield f"has no blocks of {item.block} along {item.digit}"
        elif item.digit == b.partition[0]:
            if item.block % b.block or size % item.block > b.block:
                yield f"cuts chunks of {b.block} into blocks of {item.block}"
            columns *= item.block // b.block
        else:
            columns *= item.block
    if columns * tensor.dtype.size_bytes > facts.target.psum_bank_bytes:
        yield f"fills {columns} columns, more than a PSUM bank"


def _replicate(facts: Facts, step: Step) -> Iterator[str]:
    source, target = _ends(facts, step)
    spec = step.spec
    assert isinstance(spec, Replicate)
    tensor = facts.tensor(spec.tensor)
    a, b = source.layout, target.layout
    if a is None or b is None or a.partition or b.partition or a.replicas != 1:
        yield "does not lie between a row and its replicas"
        return
    if b.replicas > min(facts.target.partitions, facts.target.stationary_free_max):
        yield f"makes {b.replicas} replicas"
    if spec.engine not in EVICTORS:
        yield f"evicts PSUM on {spec.engine}"
    if tensor.dtype.name not in facts.target.matmul_dtypes:
        yield f"multiplies {tensor.dtype}"
    sizes = shape_of(tensor, b).free
    digits = [t.digit for t in spec.tiles]
    if len(set(digits)) < len(digits) or any(
        not 1 <= t.block <= sizes.get(t.digit, 0) for t in spec.tiles
    ):
        yield f"has tiles {digits} of factors {', '.join(sizes)}"
    columns = math.prod(t.block for t in spec.tiles)
    room = facts.target.psum_bank_bytes // FLOAT32.size_bytes
    if columns > min(room, facts.target.moving_free_max):
        yield f"moves {columns} columns at once"


def _reorder(facts: Facts, step: Step) -> Iterator[str]:
    """The same partitions on both sides; a copy has what an access pattern can describe."""
    source, target = _ends(facts, step)
    spec = step.spec
    assert isinstance(spec, Reorder)
    a, b = source.layout, target.layout
    if a is None or b is None or _partitions(a) != _partitions(b):
        yield f"does not lie between two orders of the same partitions: {a} and {b}"
        return
    if spec.engine not in COVERING["tensor_copy"].engines:
        yield f"copies on {spec.engine}"
    sizes = reordered_sizes(facts, step)
    if sorted(spec.order) != sorted(sizes):
        yield f"copies {spec.order}, free are {', '.join(sizes)}"
        return
    if not set(spec.loops) <= set(sizes) or len(set(spec.loops)) < len(spec.loops):
        yield f"loops over {spec.loops}, free are {', '.join(sizes)}"
        return
    for form in (source, target):
        strides = free_strides(facts, form)
        pattern = [(sizes[d], strides[d]) for d in spec.order if d not in spec.loops]
        if merged_dims(pattern) > facts.target.access_free_dims_max:
            yield f"needs {merged_dims(pattern)} free dims in {form.name!r}"


def _partitions(layout: Layout) -> tuple[tuple[str, ...], int, int]:
    return layout.partition, layout.block, layout.replicas


_COMPARISONS: Mapping[str, Callable[[Any, int], Any]] = {
    "less": operator.lt,
    "greater": operator.gt,
    "not_equal": operator.ne,
}


def _generate(facts: Facts, step: Step) -> Iterator[str]:
    spec = step.spec
    assert isinstance(spec, Generate)
    form = facts.forms[step.writes[0].form]
    tensor = facts.tensor(spec.tensor)
    if form.layout is None:
        yield "makes a constant in HBM"
        return
    names = [f.name for f in tensor.factors]
    if not set(spec.coefficients) <= set(names):
        yield f"weighs unknown factors {sorted(spec.coefficients)}"
        return
    counted: Any = np.zeros((), np.int64)
    for factor in tensor.factors:
        along = np.arange(factor.size) * spec.coefficients.get(factor.name, 0)
        counted = counted[..., None] + along
    made: Any = (
        counted + spec.first if spec.fill is None else np.full_like(counted, spec.fill, np.float64)
    )
    for select in spec.selects:
        holds = _COMPARISONS[select.keep](counted + select.offset, 0)
        made = np.where(holds, made, select.value)
    wanted: Any = facts.program.constants[spec.tensor]
    if not np.array_equal(made, np.reshape(wanted, made.shape).astype(np.float64)):
        yield f"does not make the content of {spec.tensor!r}"
    step_ = None
    for name in reversed(form.layout.partition):
        weight = spec.coefficients.get(name, 0)
        if step_ is not None and weight != step_:
            yield f"needs more than one channel multiplier for {form.layout}"
            return
        step_ = weight * tensor.factor(name).size


_CHECKS: Mapping[type, Callable[[Facts, Step], Iterator[str]]] = {
    Load: _load,
    Store: _store,
    Transpose: _transpose,
    Replicate: _replicate,
    Reorder: _reorder,
    Generate: _generate,
}
