"""How long each instruction keeps its engine busy, in nanoseconds: one formula per cost shape.

Cycle formulas: AWS Neuron SDK docs v2.26.0, general/nki/api/nki/isa/__init__.py ('Estimated
instruction cost', the last release that printed them). Vector fast modes: nki/guides/architecture/
trainium2_arch.rst, 'Vector Engine Performance Mode'. Stride penalty: trainium_inferentia2_arch.rst,
'Performance Consideration'. DMA: nki/get-started/about/nki-dma-overview.rst and the constants in
the target file. All formulas grow with every size.

These are averages of many instructions issued back to back, so an engine's ``gap_ns`` is no part of
them: what a dependent instruction waits beyond its predecessor's end is the timeline's to add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32, DType
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandShape:
    """All that cost depends on in an operand.

    ``free_size`` is elements per partition, ``innermost_stride`` elements. ``run_bytes`` is the
    length of one contiguous run in memory, for DMA descriptors; 0 means a whole free extent.
    """

    memory: Memory
    dtype: DType
    partitions: int
    free_size: int
    innermost_stride: int = 1
    run_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One instruction to be priced.

    ``op`` is its operator and ``ranks`` the size of its replica groups, where prices depend on it.
    """

    target: Target
    engine: str
    operands: Mapping[str, OperandShape]
    op: str = "add"
    ranks: int = 1

    @property
    def free_size(self) -> int:
        """N: elements per partition of the largest operand."""
        return max((o.free_size for o in self.operands.values()), default=1)

    @property
    def all_16_bit(self) -> bool:
        return all(o.dtype.size_bytes == 2 and o.dtype.is_float for o in self._tiles())

    @property
    def psum_operands(self) -> int:
        return sum(o.memory is Memory.PSUM for o in self._tiles())

    @property
    def contiguous(self) -> bool:
        return all(o.innermost_stride == 1 for o in self._tiles())

    @property
    def stride_factor(self) -> int:
        """2 where an operand's innermost stride is too wide for the full port bandwidth."""
        limit = self.target.access_stride_penalty_bytes
        widest = max((o.innermost_stride * o.dtype.size_bytes for o in self._tiles()), default=0)
        return 2 if widest > limit else 1

    def _tiles(self) -> list[OperandShape]:
        """The operands as large as the instruction; row vectors cost nothing."""
        return [o for o in self.operands.values() if o.free_size > 1 or self.free_size == 1]

    def issue_ns(self, cycles: float) -> float:
        """Time of ``cycles`` of element work: the start included, at least one issue interval."""
        facts = self.target.engines[self.engine]
        return max(facts.min_issue_cycles, facts.start_cycles + cycles) / facts.clock_ghz

    def register_read_ns(self) -> float:
        """The extra instruction that reads the accumulator registers, if a result is asked for."""
        facts = self.target.engines[self.engine]
        return facts.min_issue_cycles / facts.clock_ghz if "reduce_res" in self.operands else 0.0


Formula = Callable[[Work], float]


def _fast_mode(work: Work) -> int:
    """Elements per cycle of tensor_copy and tensor_scalar on the Vector engine."""
    if work.engine != "vector" or not work.target.vector_fast_modes or not work.all_16_bit:
        return 1
    if work.psum_operands == 0:
        return 4 if work.contiguous else 2
    return 2 if work.psum_operands == 1 and work.contiguous else 1


def streaming(work: Work) -> float:
    """N cycles, and the accumulator read where a reduced result is written."""
    return work.issue_ns(work.free_size * work.stride_factor) + work.register_read_ns()


def one_input(work: Work) -> float:
    """N cycles, or N/4 and N/2 in the Vector engine's fast modes."""
    return work.issue_ns(work.free_size * work.stride_factor / _fast_mode(work))


def tensor_scalar(work: Work) -> float:
    """As ``one_input``; on GpSimd (rsqrt only) four times N."""
    if work.engine == "gpsimd":
        return work.issue_ns(4 * work.free_size * work.stride_factor)
    return one_input(work)


def two_inputs(work: Work) -> float:
    """2N cycles; N with one input in PSUM."""
    inputs = [o for name, o in work.operands.items() if name != "dst"]
    tiles = [o for o in inputs if o.free_size == work.free_size]
    one_psum = work.engine == "vector" and any(o.memory is Memory.PSUM for o in tiles)
    return work.issue_ns(work.free_size * work.stride_factor * (1 if one_psum else 2))


def chosen(work: Work) -> float:
    """Two streams and a predicate: 2N cycles; N with a stream or the predicate in PSUM."""
    inputs = [o for name, o in work.operands.items() if name != "dst"]
    one_psum = any(o.memory is Memory.PSUM for o in inputs)
    return work.issue_ns(work.free_size * work.stride_factor * (1 if one_psum else 2))


def tensor_tensor(work: Work) -> float:
    """As ``two_inputs``; N also in the fast mode: both inputs in SBUF and everything 16-bit."""
    inputs = (work.operands["data1"], work.operands["data2"])
    in_sbuf = all(o.memory is Memory.SBUF for o in inputs)
    if work.engine == "vector" and work.target.vector_fast_modes and work.all_16_bit and in_sbuf:
        return work.issue_ns(work.free_size * work.stride_factor)
    return two_inputs(work)


def tensor_reduce(work: Work) -> float:
    """N cycles; N/2 for sums and maxima from bfloat16 to bfloat16."""
    halved = all(o.dtype == BFLOAT16 for o in work.operands.values())
    halved = halved and work.op in ("add", "maximum")
    return work.issue_ns(work.free_size * work.stride_factor / (2 if halved else 1))


def reciprocal(work: Work) -> float:
    """8N cycles: full float32 accuracy."""
    return work.issue_ns(8 * work.free_size * work.stride_factor)


def dma_put(work: Work) -> float:
    """As ``dma_copy`` of what is written."""
    ends = {"dst": work.operands["src"], "src": work.operands["dst"]}
    return dma_copy(replace(work, operands=ends))


HOP_NS = 1500.0
"""From one rank to the next: 1 to 2 us (neuron-runtime/explore/intranode-collective-comm.rst)."""

LINK_BYTES_PER_NS = 160.0
"""NeuronLink of one core: 1280 GB/s of a Trainium2 chip (trn2-arch.rst), shared by eight cores. No
figure of one collective is published."""


def collective(work: Work) -> float:
    """A ring: as many hops as there are other ranks, and all but a rank's own part on the link."""
    n = work.ranks
    size = max(o.partitions * o.free_size * o.dtype.size_bytes for o in work.operands.values())
    link = size * (n - 1) / n / LINK_BYTES_PER_NS
    sides = sorted(work.operands.values(), key=lambda o: o.partitions * o.free_size)
    moved = dma_copy(replace(work, operands={"dst": sides[-1], "src": sides[-1]}))
    return (n - 1) * HOP_NS + max(link, moved)


def collective_twice(work: Work) -> float:
    """Pieces reduced around the ring, and gathered around it again."""
    return 2 * collective(work)


N_GATHER_BLOCK = 512
"""Elements per partition that one of the instructions behind ``nc_n_gather`` takes (NKI 0.6)."""


def n_gather(work: Work) -> float:
    """2N cycles in blocks of their own. No cost is published: an index and an element are read."""
    size = work.operands["dst"].free_size
    facts = work.target.engines[work.engine]
    further = -(-size // N_GATHER_BLOCK) - 1
    return work.issue_ns(2 * size) + further * facts.start_cycles / facts.clock_ghz


def bn_aggr(work: Work) -> float:
    """13 cycles per triple of statistics."""
    return work.issue_ns(13 * work.free_size / 3)


def matmul(work: Work) -> float:
    """max(min(64, rows of dst), columns of dst) cycles; more passes for float32.

    Two rows per partition, in double-row mode, take no longer than one.
    """
    dst, stationary, moving = (work.operands[n] for n in ("dst", "stationary", "moving"))
    issue = work.target.engines["tensor"].min_issue_cycles
    wide = FLOAT32 in (stationary.dtype, moving.dtype)
    passes = work.target.float32_matmul_passes if wide else 1
    return work.issue_ns(max(min(issue, dst.partitions), dst.free_size) * passes)


def transpose(work: Work) -> float:
    """max(P, min(64, F)) cycles of the (P, F) input; more passes for 4-byte elements."""
    data = work.operands["data"]
    issue = work.target.engines["tensor"].min_issue_cycles
    passes = work.target.float32_transpose_passes if data.dtype.size_bytes == 4 else 1
    return work.issue_ns(max(data.partitions, min(issue, data.free_size)) * passes)


def dma_copy(work: Work) -> float:
    """Time on the fullest DMA engine: descriptors of one contiguous run each, and the overhead.

    An engine serves ``partitions_per_engine`` neighbouring partitions.
    """
    dma = work.target.dma
    sides = (work.operands["dst"], work.operands["src"])
    item_bytes = max(side.dtype.size_bytes for side in sides)
    run_bytes = min(
        (side.run_bytes // side.dtype.size_bytes or side.free_size) * item_bytes for side in sides
    )
    total_bytes = sides[0].partitions * sides[0].free_size * item_bytes
    rate = dma.bytes_per_ns_per_engine
    on_chip = [side.partitions for side in sides if side.memory.on_chip]
    if on_chip:
        share = max(min(p, dma.partitions_per_engine) / p for p in on_chip)
        per_run = max(run_bytes / rate, dma.min_descriptor_ns)
        return total_bytes / run_bytes * share * per_run + dma.transfer_overhead_ns
    # Between HBM tensors long runs are cut so that all engines share the bytes, and every byte
    # crosses the HBM interface twice.
    per_engine = total_bytes / dma.engines
    moving = max(per_engine / rate, 2 * total_bytes / work.target.hbm_bytes_per_ns)
    return max(moving, per_engine / run_bytes * dma.min_descriptor_ns) + dma.transfer_overhead_ns
