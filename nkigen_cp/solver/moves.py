"""Moves between forms and their cost: loads, stores, transposes, replication, constants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import FLOAT32, DType
from nkigen_cp.ir.factor.program import FactorTensor
from nkigen_cp.ir.nki.access_rules import PATTERN_DIMS
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.boxes import Extent, merged, spans
from nkigen_cp.solver.candidates import Context, Move, Passage, rounded
from nkigen_cp.solver.plan import (
    Generate,
    Load,
    Replicate,
    Store,
    Tiled,
    Transpose,
    affine_pattern,
)
from nkigen_cp.solver.plan.layout import Fixed, Geometry, Layout, geometry, own_access
from nkigen_cp.solver.store_cost import store_busy_ns, store_loops
from nkigen_cp.solver.walks import walked_digits
from nkigen_cp.targets.target import Target

TRANSPOSED_BYTES = (2, 4)
"""Sizes of elements that the Tensor Engine transposes."""


def load_busy_ns(
    target: Target, tensor: FactorTensor, layout: Layout, window: Mapping[str, int]
) -> float:
    """DMA time to bring a tensor into a layout, in blocks of ``window``.

    ``window`` maps free factors, or CHUNK, to block sizes.
    """
    loops = tuple(Tiled(digit=name, block=block) for name, block in window.items())
    back = replace(identity_store(tensor, "", (), layout.fixed), loops=loops)
    return store_busy_ns(target, tensor, tensor, layout, back)  # costs the same in both directions


def load_moves(context: Context, tensor: FactorTensor, layout: Layout) -> list[Move]:
    """Loading from HBM; replication on the way would multiply the bytes and is left to a move."""
    if layout.replicas > 1:
        return []
    back = identity_store(tensor, "", (), layout.fixed)
    walked = walked_digits(context.program, layout, back)
    if walked is None:
        return []
    passed = passage(context, tensor, layout, walked)
    return [
        Move(
            tensor=tensor.name,
            source=None,
            target=layout,
            spec=Load(tensor=tensor.name, loops=passed.loops),
            busy_ns=rounded({"dma": passed.dma_ns}),
        )
    ]


def passage(
    context: Context, tensor: FactorTensor, layout: Layout, walked: tuple[str, ...] = ()
) -> Passage:
    """Loops and time of a form's DMAs, which are the same for loads and stores."""
    key = (tensor.factors, tensor.dtype, layout, walked)
    if key not in context.passages:
        back = identity_store(tensor, "", (), layout.fixed)
        loops = store_loops(tensor, tensor, layout, back, walked)
        busy = store_busy_ns(context.target, tensor, tensor, layout, replace(back, loops=loops))
        context.passages[key] = Passage(loops=loops, dma_ns=busy)
    return context.passages[key]


def transpose_moves(
    context: Context, tensor: FactorTensor, source: Layout, target: Layout
) -> list[Move]:
    """PE transposes between layouts with disjoint partition factors."""
    disjoint = not set(source.partition) & set(target.partition)
    folded = source.partition and target.partition and disjoint
    if not folded or tensor.dtype.size_bytes not in TRANSPOSED_BYTES:
        return []
    bank = context.target.psum_bank_bytes // tensor.dtype.size_bytes
    a, b = geometry(tensor, source), geometry(tensor, target)
    fitting = (
        items
        for items in _transpose_items(tensor, source, target, bank // a.partitions)
        if _patterns_fit(context.target, tensor, source, target, items)
    )
    items = next(fitting, None)
    if items is None:
        return []
    inner = [f.name for f in b.free].index(source.partition[-1])
    stride = math.prod(f.size for f in b.free[inner + 1 :])
    turn = _Turn(tensor=tensor, a=a, b=b, items=items, stride=stride)
    found: list[Move] = []
    for engine in ("vector", "scalar"):
        tensor_ns, evict_ns = _transpose_ns(context.target, turn, engine)
        found.append(
            Move(
                tensor=tensor.name,
                source=source,
                target=target,
                spec=Transpose(tensor=tensor.name, items=items, engine=engine),
                busy_ns=rounded({"tensor": tensor_ns, engine: evict_ns}),
                psum_banks=4,
            )
        )
    return found


def _patterns_fit(
    chip: Target,
    tensor: FactorTensor,
    source: Layout,
    target: Layout,
    items: tuple[Tiled, ...],
) -> bool:
    """Whether the block read and the tile evicted need no more free dims than instructions have."""
    read, evicted = _free_strides(tensor, source), _free_strides(tensor, target)
    block, tile = _block_extents(tensor, target, read), _block_extents(tensor, source, evicted)
    if items:
        chunk = math.prod(f.size for f in geometry(tensor, target).free)
        size = items[0].block
        over = evicted.get(items[0].digit, chunk)
        tile.insert(0, Extent(size=size, stride=over))
    return max(len(merged(block)), len(merged(tile))) <= chip.access_free_dims_max


def _block_extents(
    tensor: FactorTensor, layout: Layout, strides: Mapping[str, int]
) -> list[Extent]:
    """What lies on the partitions in one layout, as free dims of another form."""
    outer, *inner = layout.partition
    found = [Extent(size=layout.block, stride=strides[outer])]
    return found + [Extent(size=tensor.factor(n).size, stride=strides[n]) for n in inner]


def _free_strides(tensor: FactorTensor, layout: Layout) -> dict[str, int]:
    strides, step = dict[str, int](), 1
    for factor in reversed(geometry(tensor, layout).free):
        strides[factor.name], step = step, step * factor.size
    return strides


def _transpose_items(
    tensor: FactorTensor, source: Layout, target: Layout, room: int
) -> Iterator[tuple[Tiled, ...]]:
    """Blocks that may share a bank, the best first, at last one alone.

    Chunks of the new partition factor before other free factors: those are looped outside then, so
    that the first of them is turned as soon as it is there.
    """
    moved = (*source.partition, *target.partition)
    others = [f for f in geometry(tensor, target).free if f.name not in moved]
    outer = target.partition[0]
    chunks = tensor.factor(outer).size // target.block
    if room > 1 and chunks > 1:
        yield (Tiled(digit=outer, block=_divisor(chunks, room) * target.block),)
    if room > 1 and others:
        yield (Tiled(digit=others[-1].name, block=_divisor(others[-1].size, room)),)
    yield ()


def _divisor(size: int, most: int) -> int:
    return max(d for d in range(1, min(size, most) + 1) if size % d == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """Blocks of ``a`` that become blocks of ``b``.

    ``stride`` lies between neighbours of an evicted row in the target form.
    """

    tensor: FactorTensor
    a: Geometry
    b: Geometry
    items: tuple[Tiled, ...]
    stride: int


def _transpose_ns(target: Target, turn: _Turn, engine: str) -> tuple[float, float]:
    """(Tensor Engine ns, evicting engine ns) of transposing every block."""
    dtype = turn.tensor.dtype
    blocks_a, blocks_b = _blocks(turn.a), _blocks(turn.b)
    turned = sum(n * t for n, t in blocks_a) * sum(n * t for n, t in blocks_b)
    others = max(1, turn.tensor.size // turned)
    tensor_ns = evict_ns = 0.0
    for (pa, times_a), (pb, times_b) in itertools.product(blocks_a, blocks_b):
        count = times_a * times_b * others
        data = OperandShape(memory=Memory.SBUF, dtype=dtype, partitions=pa, free_size=pb)
        psum = OperandShape(memory=Memory.PSUM, dtype=dtype, partitions=pb, free_size=pa)
        shapes = {"dst": psum, "data": data}
        tensor_ns += count * busy_ns(target, "nc_transpose", "tensor", shapes)
        share = _share(turn.items, turn.b, pb)
        wide = replace(psum, free_size=pa * share)
        dst = replace(wide, memory=Memory.SBUF, innermost_stride=turn.stride)
        evict_ns += (
            count / share * busy_ns(target, "tensor_copy", engine, {"dst": dst, "src": wide})
        )
    return tensor_ns, evict_ns


def _blocks(shape: Geometry) -> list[tuple[int, int]]:
    full = shape.chunks - (1 if shape.remainder else 0)
    found = [(shape.partitions, full)] if full else []
    return found + ([(shape.remainder * shape.inner, 1)] if shape.remainder else [])


def _share(items: tuple[Tiled, ...], b: Geometry, partitions: int) -> int:
    """Transposed blocks per eviction; chunk items hold only for full chunks."""
    if not items:
        return 1
    block = items[0].block
    if any(f.name == items[0].digit for f in b.free):
        return block
    return block * b.inner // b.partitions if partitions == b.partitions else 1


def replicate_moves(context: Context, tensor: FactorTensor, target: Layout) -> list[Move]:
    """Row on one partition -> all partitions, by ones (1, P) x row (1, N) on the Tensor Engine."""
    if target.replicas == 1 or tensor.dtype.name not in context.target.matmul_dtypes:
        return []
    room = context.target.psum_bank_bytes // FLOAT32.size_bytes
    tiles = _row_tiles(tensor, min(room, context.target.moving_free_max))
    looped = math.prod(f.size for f in tensor.factors if f.name not in {t.digit for t in tiles})
    ones = OperandShape(
        memory=Memory.SBUF, dtype=tensor.dtype, partitions=1, free_size=target.replicas
    )
    ones_ns = busy_ns(context.target, "memset", "gpsimd", {"dst": ones})
    found: list[Move] = []
    for engine in ("vector", "scalar"):
        tensor_ns = evict_ns = 0.0
        for combo in itertools.product(
            *(spans(tensor.factor(t.digit).size, t.block) for t in tiles)
        ):
            times = looped * math.prod(s.times for s in combo)
            size = math.prod(s.extent for s in combo)
            matmul, evict = _replicated_ns(
                context.target, tensor.dtype, target.replicas, size, engine
            )
            tensor_ns += times * matmul
            evict_ns += times * evict
        found.append(
            Move(
                tensor=tensor.name,
                source=Layout().at(target.home, target.fixed),
                target=target,
                spec=Replicate(tensor=tensor.name, tiles=tiles, engine=engine),
                busy_ns=rounded({"tensor": tensor_ns, engine: evict_ns, "gpsimd": ones_ns}),
                sbuf_bytes=-(-target.replicas * tensor.dtype.size_bytes // 4) * 4,
                psum_banks=4,
            )
        )
    return found


def _row_tiles(tensor: FactorTensor, room: int) -> tuple[Tiled, ...]:
    """The innermost factors that fill a PSUM bank, the last one blocked evenly."""
    tiles: list[Tiled] = []
    for factor in reversed(tensor.factors):
        block = factor.size if factor.size <= room else -(-factor.size // -(-factor.size // room))
        tiles.insert(0, Tiled(digit=factor.name, block=block))
        room //= block
        if block < factor.size or room < 2:
            break
    return tuple(tiles)


def _replicated_ns(
    target: Target, dtype: DType, replicas: int, size: int, engine: str
) -> tuple[float, float]:
    """(matmul ns, eviction ns) of replicating ``size`` elements."""

    def shape(memory: Memory, kind: DType, partitions: int, free: int) -> OperandShape:
        return OperandShape(memory=memory, dtype=kind, partitions=partitions, free_size=free)

    psum = shape(Memory.PSUM, FLOAT32, replicas, size)
    operands = {
        "dst": psum,
        "stationary": shape(Memory.SBUF, dtype, 1, replicas),
        "moving": shape(Memory.SBUF, dtype, 1, size),
    }
    copy = {"dst": shape(Memory.SBUF, dtype, replicas, size), "src": psum}
    return (
        busy_ns(target, "nc_matmul", "tensor", operands),
        busy_ns(target, "tensor_copy", engine, copy),
    )


def generate_moves(
    context: Context, tensor: FactorTensor, layout: Layout, spec: Generate
) -> list[Move]:
    """A constant made on chip in the layout; in a loop every iteration makes its own position."""
    shape = geometry(tensor, layout)
    if not _affine_over_partitions(tensor, layout, spec):
        return []
    if len(affine_pattern(tensor, layout, spec.coefficients, shape.chunks)) > PATTERN_DIMS:
        return []
    out = OperandShape(
        memory=Memory.SBUF,
        dtype=tensor.dtype,
        partitions=shape.partitions,
        free_size=shape.free_elements,
    )
    parts = [
        replace(out, partitions=partitions, free_size=shape.free_elements // shape.chunks * chunks)
        for partitions, chunks in _blocks(shape)
    ]
    busy = sum(
        busy_ns(context.target, instruction, "gpsimd", {"dst": part, "on_true_tile": part})
        for instruction in spec.instructions
        for part in ([out] if instruction == "memset" else parts)
    )
    return [
        Move(
            tensor=tensor.name,
            source=None,
            target=layout,
            spec=spec,
            busy_ns=rounded({"gpsimd": busy}),
        )
    ]


def _affine_over_partitions(tensor: FactorTensor, layout: Layout, spec: Generate) -> bool:
    """Whether one multiplier serves all partitions of a folded layout."""
    expected = spec.coefficients.get(layout.partition[-1], 0) if layout.partition else 0
    for name in reversed(layout.partition):
        if spec.coefficients.get(name, 0) != expected:
            return False
        expected *= tensor.factor(name).size
    return True


def identity_store(
    tensor: FactorTensor,
    op: str,
    path: tuple[str, ...] = (),
    fixed: Sequence[Fixed] = (),
) -> Store:
    """Writing a tensor to HBM in its row-major order.

    One iteration of ``path`` writes one position of the ``fixed`` factors.
    """
    access = own_access(tensor, fixed)
    digits = {f.name: f.size for f in tensor.factors if f.name in access.digits}
    return Store(source=access, target=access, digits=digits, op=op, path=path)
