"""Rules every instruction obeys: parameters, views, memories, partitions and access patterns.

A rule returns what is wrong in one sentence, or None. Sources: AWS Neuron SDK docs,
nki/guides/architecture/trainium_inferentia2_arch.rst 'Accessing SBUF/PSUM tensors using compute
engines' (partition starts, access dims), trainium2_arch.rst (engine memories), nki/migration/
index.rst (DMA and PSUM).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from nkigen_cp.ir.nki.kernel import Affine, Kept, Memory, Operand, Repeat, View
from nkigen_cp.ir.nki.site import Site, Use
from nkigen_cp.ir.nki.table import Role
from nkigen_cp.ir.nki.views import Dim, dims, free_dims, start_partition

Rule = Callable[[Site], str | None]

_SBUF = (Memory.SBUF,)
_BOTH = (Memory.SBUF, Memory.PSUM)
_HBM = (Memory.INPUT, Memory.UPDATED, Memory.OUTPUT, Memory.HBM)

# engine -> memories it reads, memories it writes
ENGINE_READS: Mapping[str, tuple[Memory, ...]] = {
    "tensor": _SBUF,
    "vector": _BOTH,
    "scalar": _BOTH,
    "gpsimd": _SBUF,
    "dma": (*_HBM, *_SBUF),
}
ENGINE_WRITES: Mapping[str, tuple[Memory, ...]] = {
    **ENGINE_READS,
    "tensor": (Memory.PSUM,),
    "dma": (Memory.UPDATED, Memory.OUTPUT, Memory.HBM, Memory.SBUF),
}


def _is_number(value: Operand) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# (step, count) pairs of one pattern: nki/api/nki/isa/__init__.py, iota.
PATTERN_DIMS = 4


def _is_pattern(value: Operand) -> bool:
    return (
        isinstance(value, tuple)
        and 1 <= len(value) <= PATTERN_DIMS
        and all(n > 0 for _, n in value)
    )


_ACCEPTS: Mapping[Role, Callable[[Operand], bool]] = {
    Role.OUT: lambda v: isinstance(v, View),
    Role.ACCUMULATE: lambda v: isinstance(v, View),
    Role.UPDATE: lambda v: isinstance(v, View),
    Role.IN: lambda v: isinstance(v, View),
    Role.VECTOR: lambda v: isinstance(v, View) or _is_number(v),
    Role.NUMBER: _is_number,
    Role.INTEGER: lambda v: (
        isinstance(v, Affine) or (isinstance(v, int) and not isinstance(v, bool))
    ),
    Role.CONDITION: lambda v: isinstance(v, (bool, Affine)),
    Role.OP: lambda v: isinstance(v, str),
    Role.ACTIVATION: lambda v: isinstance(v, str),
    Role.CHOICE: lambda v: isinstance(v, str),
    Role.FLAG: lambda v: isinstance(v, bool),
    Role.PATTERN: _is_pattern,
    Role.GROUPS: lambda v: isinstance(v, tuple),
}


def engine(site: Site) -> str | None:
    """The row lists the engine."""
    given = site.instruction.engine
    if given in site.row.engines:
        return None
    return f"does not run on engine {given!r}; it runs on {', '.join(site.row.engines)}"


def parameters(site: Site) -> str | None:
    """Known parameters, all required ones, each of its role's type."""
    names = [p.name for p in site.row.parameters]
    for name in site.instruction.args:
        if name not in names:
            return f"has no parameter {name!r}; it takes {', '.join(names)}"
    for parameter in site.row.parameters:
        given = site.instruction.args.get(parameter.name)
        if given is None:
            if parameter.required:
                return f"needs parameter {parameter.name!r}"
        elif not _ACCEPTS[parameter.role](given):
            return f"got {given!r} for {parameter.name!r}, which must be {parameter.role.value}"
        elif parameter.role is Role.CHOICE and given not in parameter.choices:
            allowed = ", ".join(parameter.choices)
            return f"got {given!r} for {parameter.name!r}; allowed are {allowed}"
    return None


def views(site: Site) -> str | None:
    """Every view is well formed: its indexed shape is the buffer's, its dims exist once."""
    for use in site.uses:
        problem = _view_problem(use)
        if problem:
            return f"{use} {problem}"
    return None


def _view_problem(use: Use) -> str | None:
    view, buffer = use.view, use.buffer
    on_chip = buffer.memory.on_chip
    kept = [d.dim for d in view.dims if isinstance(d, Kept)]
    lost = [d for d, i in enumerate(view.index) if i.size > 1 and d not in kept]
    once = len(dict.fromkeys(kept)) == len(kept) and all(0 <= d < len(view.shape) for d in kept)
    problems = (
        (
            on_chip and view.shape != buffer.shape,
            f"indexes shape {view.shape}; an on-chip view indexes the buffer's {buffer.shape}",
        ),
        (
            prod(view.shape) != prod(buffer.shape),
            f"indexes shape {view.shape}, which is no reshape of the buffer's {buffer.shape}",
        ),
        (
            len(view.index) != len(view.shape),
            f"has {len(view.index)} indices; the shape {view.shape} needs {len(view.shape)}",
        ),
        (
            not view.dims or not once,
            f"lists the dims {kept} of {view.shape}; each that exists may be listed once",
        ),
        (
            on_chip and view.dims[:1] != (Kept(dim=0),),
            "must have the partition, dim 0, as its first result dim",
        ),
        (
            any(i.size < 1 or i.step == 0 for i in view.index),
            "has an index of no size or step; a repeated element is a Repeat dim",
        ),
        (bool(lost), f"drops the dims {lost}, which have more than one position"),
    )
    return next((text for broken, text in problems if broken), None)


def bounds(site: Site) -> str | None:
    """Every view stays inside its buffer in every loop iteration."""
    for use in site.uses:
        for d, (index, size) in enumerate(zip(use.view.index, use.view.shape, strict=True)):
            reach = site.range(index.start)
            first, last = reach.low + index.lowest, reach.high + index.highest
            if first < 0 or last >= size:
                return (
                    f"{use} addresses {first}..{last} of dim {d}; the positions are 0..{size - 1}"
                )
    return None


def memories(site: Site) -> str | None:
    """Each operand lies where the engine and the instruction can reach it."""
    name = site.instruction.engine
    for use in site.uses:
        writes = use.parameter.role.writes
        reach = (ENGINE_WRITES if writes else ENGINE_READS)[name]
        allowed = [m for m in use.parameter.memories if m in reach]
        if use.buffer.memory not in allowed:
            verb = "writes" if writes else "reads"
            places = ", ".join(m.value for m in allowed)
            return f"{verb} {use} in {use.buffer.memory.value}; allowed here is {places}"
    return None


def dtypes(site: Site) -> str | None:
    """Operands whose dtype the instruction fixes have it."""
    for use in site.uses:
        wanted = use.parameter.dtype
        if wanted and use.buffer.dtype.name != wanted:
            return f"{use} is {use.buffer.dtype}; it must be {wanted}"
    return None


def partitions(site: Site) -> str | None:
    """At most 128 partitions, neighbours, starting where a group of that size may start."""
    if site.instruction.engine == "dma":
        return None
    target = site.target
    for use in site.uses:
        count = use.view.partitions
        if count > target.partitions:
            return f"{use} has {count} partitions; at most {target.partitions} are allowed"
        if count > 1 and use.view.index[0].step != 1:
            return f"{use} steps {use.view.index[0].step} partitions; the step must be 1"
        align = next(
            a for a in (target.quadrant, 2 * target.quadrant, target.partitions) if count <= a
        )
        start = start_partition(use.view, use.buffer)
        reach = site.range(start)
        steps = [start.const, *(t.stride for t in start.terms)] if reach.low < reach.high else []
        bad = any(s % align for s in (steps or [reach.low]))
        if bad or reach.high + count > target.partitions:
            allowed = ", ".join(str(s) for s in range(0, target.partitions, align))
            return (
                f"{use} starts {count} partitions at partition {reach.low}"
                f"{f'..{reach.high}' if steps else ''}; allowed starts are {allowed}"
            )
    return None


def access_dims(site: Site) -> str | None:
    """A compute engine walks a limited number of free dims per partition."""
    if site.instruction.engine == "dma":
        return None
    limit = site.target.access_free_dims_max
    for use in site.uses:
        count = len(free_dims(use.view))
        if count > limit:
            return f"{use} needs {count} free dims after merging; at most {limit} are allowed"
    return None


def single_writes(site: Site) -> str | None:
    """No output element is written twice by one instruction."""
    for use in site.uses:
        if not use.parameter.role.writes:
            continue
        if any(isinstance(d, Repeat) and d.size > 1 for d in use.view.dims) or _overlaps(use):
            return f"{use} is a broadcast view; an output element may be written only once"
    return None


def _overlaps(use: Use) -> bool:
    pattern = sorted((d for d in dims(use.view) if d.size > 1), key=_stride)
    reach = 0
    for dim in pattern:
        if abs(dim.stride) <= reach:
            return True
        reach += abs(dim.stride) * (dim.size - 1)
    return False


def _stride(dim: Dim) -> int:
    return abs(dim.stride)


COMMON: Mapping[str, Rule] = {
    "engine": engine,
    "parameters": parameters,
    "views": views,
    "bounds": bounds,
    "memories": memories,
    "dtypes": dtypes,
    "partitions": partitions,
    "access_dims": access_dims,
    "single_writes": single_writes,
}
"""Checked in this order: later rules rely on the earlier ones."""
