"""What DMAs take one position at a time, because the whole in HBM has no factors of a window's."""

from __future__ import annotations

from nkigen_cp.ir.factor.program import Program
from nkigen_cp.ir.factor.windows import joints
from nkigen_cp.solver.plan import CHUNK, Store
from nkigen_cp.solver.plan.layout import Layout, Run, partition_window


def walked_digits(program: Program, layout: Layout, spec: Store) -> tuple[str, ...] | None:
    """Digits, CHUNK among them, that a DMA between a form and HBM takes one position of at a time.

    None where the partitions would need two factors of a window's dim, which no DMA can reach. A
    load is the store that would undo it.
    """
    form, into = program.tensors[spec.source.tensor], program.tensors[spec.target.tensor]
    window = partition_window(form, layout, spec.source, spec.digits)
    names = (f.name for f in into.factors)
    digit = {n: i.digit for n, i in zip(names, spec.target.index, strict=True)}
    found: list[str] = []
    for joint in joints(program, into.name):
        moving = [d for n in joint.factors if (d := digit[n]) and d not in window.walked]
        across = [d for d in moving if d in window.run.digits]
        if len(across) > 1:
            return None
        found += [d for d in moving if d not in (across or moving[-1:])]
        if across and across[0] == window.run.digits[0]:
            found.append(CHUNK)
    if _between_blocks(program, into.name, digit, window.run):
        found.append(CHUNK)
    return tuple(dict.fromkeys(found))


def _between_blocks(program: Program, tensor: str, digit: dict[str, str | None], run: Run) -> bool:
    """Whether a window starts or the whole ends inside a block of the partitions."""
    window = program.windows.get(tensor) or program.pieces.get(tensor)
    if window is None or not run.digits:
        return False
    held, whole = program.tensors[tensor], program.graph.tensors[window.base].shape
    for factors, part, size, offset in zip(
        held.dims, held.shape, whole, window.offsets, strict=True
    ):
        if factors and digit[factors[0].name] == run.digits[0]:
            block = run.block * (part // factors[0].size)
            return bool(size % block or offset % block)
    return False


def reaches_in_hbm(program: Program, spec: Store) -> bool:
    """Whether one DMA can take all of a store that goes from HBM to HBM."""
    tensors = (spec.source.tensor, spec.target.tensor)
    return not any(joints(program, t) for t in tensors)
