"""Source text of views: basic indexing, then permute, then expand and broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from nkigen_cp.emit.expressions import affine
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Index, Kept, Repeat, View
from nkigen_cp.ir.nki.views import dims, row_major


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewText:
    """A view as source, and how many dims it has there."""

    text: str
    rank: int


def element_offset(view: View) -> Affine:
    """Elements from the buffer's first element to the view's, in row-major order."""
    offset = Affine()
    for index, stride in zip(view.index, row_major(view.shape), strict=True):
        offset = offset + index.start * stride
    return offset


def pattern(view: View, buffer: Buffer) -> list[list[int]]:
    """[step, count] per dim, in elements of the buffer; on chip the partition comes first."""
    pairs = [[d.stride, d.size] for d in dims(view)]
    if buffer.memory.on_chip:
        pairs[0][0] = prod(buffer.shape[1:])
    # NKI wants a free dim on chip, and no view without dims.
    return pairs + [[1, 1]] * max(0, (2 if buffer.memory.on_chip else 1) - len(pairs))


def spell_view(view: View, buffer: Buffer, base: str, loop_vars: Mapping[str, str]) -> ViewText:
    """The view as an expression over ``base``, a name for the buffer in shape ``view.shape``.

    On-chip views keep at least two dims and HBM views one, so that nothing depends on how NKI
    pads or drops the last of them.

    Raises:
        KernelError: the view does not fit its shape or drops a dim of more than one position.
    """
    _check(view, buffer)
    if any(i.step < 0 for i in view.index):  # no slice runs down a dim
        steps, offset = pattern(view, buffer), affine(element_offset(view), loop_vars)
        return ViewText(text=f"{base}.ap(pattern={steps}, offset={offset})", rank=len(steps))
    sources = _sources(view, minimum=2 if buffer.memory.on_chip else 1)
    taken = [s for s in sources if s is not None]
    text = base
    if len(taken) < len(view.shape) or not all(map(_is_whole, view.index, view.shape)):
        parts = (
            _slice(index, size, loop_vars) if dim in taken else affine(index.start, loop_vars)
            for dim, (index, size) in enumerate(zip(view.index, view.shape, strict=True))
        )
        text += f"[{', '.join(parts)}]"
    ordered = sorted(taken)
    if taken != ordered:
        text += f".permute(({', '.join(str(ordered.index(s)) for s in taken)}))"
    for position, dim in enumerate(view.dims):
        if isinstance(dim, Repeat):
            text += f".expand_dim({position})" * (sources[position] is None)
            text += f".broadcast({position}, {dim.size})" * (dim.size > 1)
    return ViewText(text=text, rank=len(sources))


def _sources(view: View, minimum: int) -> list[int | None]:
    """For each dim in the source: the indexed dim it is, or None for one that must be inserted.

    A repeated dim takes over a dropped dim that lies in the right place (``s[0:128, h:h + 1]
    .broadcast(1, 64)``), which reads better than dropping one and inserting another.
    """
    kept = [d.dim for d in view.dims if isinstance(d, Kept)]
    free = [d for d in range(len(view.shape)) if d not in kept]
    sources: list[int | None] = []
    last = -1
    for position, dim in enumerate(view.dims):
        if isinstance(dim, Kept):
            last = dim.dim
            sources.append(last)
            continue
        following = [d.dim for d in view.dims[position:] if isinstance(d, Kept)]
        limit = following[0] if following else len(view.shape)
        slot = next((d for d in free if last < d < limit), None)
        if slot is not None:
            free.remove(slot)
            last = slot
        sources.append(slot)
    pads = min(max(0, minimum - len(sources)), len(free))
    return sources + free[len(free) - pads :]


def _is_whole(index: Index, size: int) -> bool:
    return index.start == Affine() and index.size == size


def _slice(index: Index, size: int, loop_vars: Mapping[str, str]) -> str:
    start = affine(index.start, loop_vars)
    if index.size == 1 or index.step == 1:
        return f"{start}:{affine(index.start + index.size, loop_vars)}"
    stop = index.start + ((index.size - 1) * index.step + 1)
    if not index.start.terms:
        # The rounder bound takes the same positions as long as it stays inside the dim.
        stop = Affine(const=max(stop.const, min(index.start.const + index.size * index.step, size)))
    return f"{start}:{affine(stop, loop_vars)}:{index.step}"


def _check(view: View, buffer: Buffer) -> None:
    where = f"a view of {buffer.name!r}"
    if buffer.memory.on_chip and view.shape != buffer.shape:
        raise KernelError(
            f"{where} indexes shape {view.shape}, but the buffer is on chip with shape "
            f"{buffer.shape}; only HBM buffers are reshaped by a view"
        )
    if len(view.index) != len(view.shape):
        raise KernelError(f"{where} has {len(view.index)} indices for shape {view.shape}")
    kept = [d.dim for d in view.dims if isinstance(d, Kept)]
    if len(dict.fromkeys(kept)) < len(kept) or any(not 0 <= d < len(view.shape) for d in kept):
        raise KernelError(f"{where} keeps dims {kept} of shape {view.shape}; each at most once")
    if buffer.memory.on_chip and (not view.dims or view.dims[0] != Kept(dim=0)):
        raise KernelError(f"{where} is on chip, so its first dim must be the partition (dim 0)")
    for dim, index in enumerate(view.index):
        if dim not in kept and index.size != 1:
            raise KernelError(
                f"{where} drops dim {dim}, of which it takes {index.size} positions; "
                "only a single position can be dropped"
            )
