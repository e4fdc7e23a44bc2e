"""The plan: everything the solver decided, as frozen values that lowering only carries out.

A plan is a list of steps over forms. A form is one materialisation of a tensor: in HBM, or in SBUF
in one layout, with a lifetime in steps and an address. A step reads forms and writes forms; its
spec says which instruction covers which ops, what lies on the partitions, what is looped, and the
tile sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import Access, FactorOp, Loop, Program
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit
from nkigen_cp.solver.plan.layout import CHUNK, Layout, Run
from nkigen_cp.solver.plan.pins import AnyPin

Value = str | int | float | bool

PLAN_VERSION = 9
"""Version of the plan file format."""


RESIZING = ("tensor_reduce", "top", "find")
"""Instructions that write rows of another length than those that they read as ``data``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A view parameter of an instruction and the access that feeds it, in the root op's digits.

    ``column`` slots must be one value per partition at any one instruction.
    """

    name: str
    access: Access
    column: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """One instruction that computes one or several ops exactly.

    ``reads`` and ``writes`` are its view parameters, ``params`` its operators and immediates.
    ``internal`` names tensors that never materialise.
    """

    instruction: str
    ops: tuple[str, ...]
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    params: Mapping[str, Value] = field(default_factory=dict[str, Value])
    engines: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()  # digits that tensor_reduce or the accumulator sums over
    made: tuple[str, ...] = ()  # digits of the row that a function of whole rows makes

    @property
    def root(self) -> str:
        return self.ops[-1]

    def spanned(self, slot: Slot, order: Sequence[str]) -> tuple[str, ...]:
        """The free digits that one operand has, of those that the instruction has.

        A column has none; rows that are read and rows that are made may be of different lengths.
        """
        if slot.column:
            return ()
        lacks = ()
        if self.instruction in RESIZING:
            lacks = self.made if slot.name == "data" else self.reduced
        return tuple(d for d in order if d not in lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise:
    """A cover over the root's box: ``run`` on the partitions, ``loops`` batched, the rest free."""

    cover: Cover
    run: Run
    loops: tuple[str, ...]
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiled:
    """A digit looped in blocks; the last block may be smaller."""

    digit: str
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An operand read from HBM in blocks along one digit, each freed after its last use."""

    slot: str  # "stationary" or "moving"
    digit: str
    block: int
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contraction: ``stationary`` ("lhs" or "rhs") gives the output's partitions.

    The output is computed in PSUM tiles of one bank: ``m_run`` on the partitions, and in free
    ``items`` (whole or blocked digits) by ``moving`` (the columns of one matmul instruction), all
    outermost first. ``loops`` are the digits that no tile spans, outermost first. The contraction
    lies on the partitions by ``k_run``; its other digits accumulate. With ``double_row`` matmuls
    take two chunks of ``k_run`` at a time.
    """

    op: str
    stationary: str
    m_run: Run
    k_run: Run
    moving: tuple[Tiled, ...]
    items: tuple[Tiled, ...]
    loops: tuple[str, ...]
    accumulate: tuple[str, ...]
    stream: Stream | None
    epilogue: Elementwise
    double_row: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """HBM -> SBUF, one DMA per block of the ``loops``: free factors or CHUNK, outermost first."""

    tensor: str
    loops: tuple[Tiled, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """SBUF or HBM -> HBM tensor ``target`` through index maps in shared digits.

    One iteration of the loops ``path`` stores ``digits``, one DMA per block of ``loops``: free
    digits of the source's form or its CHUNK, outermost first.
    """

    source: Access
    target: Access
    digits: Mapping[str, int]
    op: str
    path: tuple[str, ...] = ()
    loops: tuple[Tiled, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose:
    """SBUF layout -> SBUF layout with other factors on the partitions, by the Tensor Engine.

    ``items`` blocks of ``item`` share a PSUM bank and one eviction, on ``engine``.
    """

    tensor: str
    items: tuple[Tiled, ...]
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """A row on one partition -> the same row on all, by a matmul with ones; evicted on ``engine``.

    ``tiles`` are the factors one matmul spans, outermost first; others are looped.
    """

    tensor: str
    tiles: tuple[Tiled, ...]
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder:
    """SBUF layout -> the same partitions with the free factors in another order, by copies.

    A copy takes the digits ``order``, CHUNK and the free factors, outermost first, but one position
    at a time of the ``loops`` among them.
    """

    tensor: str
    order: tuple[str, ...]
    loops: tuple[str, ...]
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """A value put wherever ``form + offset keep 0`` does not hold; ``keep`` is a comparison."""

    keep: str
    offset: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """A constant made on chip from one affine form: ``coefficients`` weigh the factor positions.

    It starts as one value, or as the form plus ``first`` where ``fill`` is None; then each of the
    ``selects`` puts its value over a part of it.
    """

    tensor: str
    coefficients: Mapping[str, int]
    fill: float | None
    first: int = 0
    selects: tuple[Select, ...] = ()

    @property
    def instructions(self) -> tuple[str, ...]:
        """What makes it, in order."""
        return ("iota" if self.fill is None else "memset", *("affine_select" for _ in self.selects))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinterpret:
    """HBM -> HBM move that no factoring serves, in the user's dims."""

    op: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A collective: a whole tensor in HBM exchanged with other ranks, into another one."""

    op: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """A gather: the table's positions that its index holds, brought into the result's form.

    ``by`` is "row" (one DMA, one index per partition of ``run``), "block" (one DMA per index, into
    any ``run``) or "element" (on the chip, within each partition of ``run``). ``loops`` are the
    digits taken position by position, outermost first.
    """

    op: str
    by: str
    run: Run
    loops: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """A scatter in HBM: its first operand copied, if it is elsewhere, then one DMA per index.

    ``run`` is on the partitions of what is written, ``loops`` are the digits of the index.
    """

    op: str
    run: Run
    loops: tuple[str, ...]


def put_store(op: FactorOp, spec: Scatter) -> Store:
    """What a scatter writes as a store: one DMA per position of its loops."""
    return Store(
        source=op.accesses[2],
        target=op.output,
        digits={d.name: d.size for d in op.digits},
        op=op.name,
        loops=tuple(Tiled(digit=d, block=1) for d in spec.loops),
    )


Spec = (
    Elementwise
    | Contract
    | Load
    | Store
    | Transpose
    | Replicate
    | Reorder
    | Generate
    | Reinterpret
    | Exchange
    | Gather
    | Scatter
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One materialisation of a tensor; forms in HBM have no layout. Steps are plan positions.

    ``copies`` buffers of it take turns where it lives inside a loop; ``partition_bytes`` is that of
    all of them. A form that is ``over`` another takes that one's place in memory.
    """

    name: str
    tensor: str
    layout: Layout | None
    partition_bytes: int
    first_step: int
    last_step: int
    copies: int = 1
    over: str | None = None
    address: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A form that a step reads or writes for one slot."""

    slot: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One group of the plan, inside the loops ``path``.

    ``busy_ns`` per engine is that of all iterations, ``sbuf_bytes`` of tiles alive inside one.
    ``delays``, one per loop of the path or none at all, pipeline the loops: in turn ``t`` of a loop
    the step does iteration ``t - delay``.
    """

    name: str
    group: int
    spec: Spec
    reads: tuple[Use, ...]
    writes: tuple[Use, ...]
    busy_ns: Mapping[str, int]
    sbuf_bytes: int = 0
    psum_banks: int = 0
    path: tuple[str, ...] = ()
    delays: tuple[int, ...] = ()

    def delay_in(self, depth: int) -> int:
        """Turns by which the step follows in the loop ``path[depth]``."""
        return self.delays[depth] if self.delays else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the plan was asked for."""

    effort: str = "balanced"
    seed: int = 0
    workers: int = 2
    matmul_precision: str = "exact"
    assume_masked: bool = True
    pins: tuple[AnyPin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanData:
    """The serialised part of a plan. ``gap`` is (objective - bound) / objective.

    ``cuts`` split dims for the ``loops``; an outer loop is listed before its inner ones. Ops of the
    axes in ``splits`` were repeated for two windows before that.
    """

    version: int
    kernel: str
    graph_hash: str
    target: str
    options: Options
    solver: str
    status: str
    deterministic: bool
    objective_ns: int
    bound_ns: int
    busy_ns: Mapping[str, int]
    residency: Mapping[str, str]
    forms: tuple[Form, ...]
    steps: tuple[Step, ...]
    splits: tuple[AxisSplit, ...] = ()
    cuts: tuple[Cut, ...] = ()
    loops: tuple[Loop, ...] = ()

    @property
    def gap(self) -> float:
        return max(0.0, (self.objective_ns - self.bound_ns) / max(1, self.objective_ns))


def box_order(program: Program, cover: Cover, run: Run) -> tuple[str, ...]:
    """Free digits of the cover's box: chunks, then output order, then rows made and reduced."""
    root = program.ops[cover.root]
    apart = (*run.digits, *cover.made)
    parallel = [d for d in root.output.digits if d not in apart]
    rest = [d.name for d in root.parallel if d.name not in (*parallel, *apart)]
    return (CHUNK, *rest, *parallel, *cover.made, *cover.reduced)
