"""What a report says, as frozen values: every rendering takes its numbers from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.solver.plan import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The plan as a whole. Times are nanoseconds.

    ``latency_ns`` is what the engine timeline says of the lowered kernel, ``objective_ns`` what the
    solver minimised. No schedule beats ``hbm_bound_ns`` and ``engine_bound_ns``, the two sides of
    the roofline. ``limiting`` is the busiest engine, ``limited_by`` says in words what it means.
    ``hbm_bytes`` is what the plan moves; no plan moves less than ``hbm_bytes_min``: every input and
    output once. ``sbuf_peak_bytes`` and ``sbuf_bytes`` (what there is) are per partition.
    ``idle_ns`` of the latency nothing on the critical path works.
    """

    kernel: str
    target: str
    solver: str
    status: str
    deterministic: bool
    objective_ns: int
    bound_ns: int
    gap: float
    latency_ns: int
    idle_ns: int
    hbm_bound_ns: int
    engine_bound_ns: int
    instructions: int
    busy_ns: Mapping[str, int]
    limiting: str
    limited_by: str
    hbm_bytes: int
    hbm_bytes_min: int
    sbuf_peak_bytes: int
    sbuf_bytes: int
    options: Options

    @property
    def roofline_ns(self) -> int:
        """The larger of the two bounds of the hardware."""
        return max(self.hbm_bound_ns, self.engine_bound_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLine:
    """A loop of a nest: ``trips`` times ``block`` positions of ``axis``, ``copies`` buffers."""

    name: str
    trips: int
    axis: str
    block: int
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NestLine:
    """Everything inside one outermost loop; ``name`` is "" for what runs in no loop.

    ``busy_ns`` is per engine over all iterations, ``limiting`` the busiest. ``exclusive_ns`` is the
    time of the critical path that the nest's instructions fill: those of all nests and the idle
    time add up to the latency. ``start_ns`` and ``end_ns`` are on the timeline.
    """

    name: str
    loops: tuple[LoopLine, ...]
    steps: tuple[int, ...]
    ops: tuple[str, ...]
    busy_ns: Mapping[str, int]
    limiting: str
    exclusive_ns: int
    start_ns: int
    end_ns: int

    @property
    def label(self) -> str:
        """What readers call it."""
        return self.name or "outside of loops"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpLine:
    """An op of the program, the tensor it writes and the user's line, "" where it has none."""

    name: str
    tensor: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step. Texts are empty where they do not apply; ``busy_ns`` is per engine.

    ``moves`` says what a step without ops does, ``partitions`` what lies on the partitions,
    ``loops`` what is looped one position at a time, ``tiles`` the block sizes, all in the user's
    axis names. ``sbuf_bytes`` are the step's own tiles, per partition. ``nest`` is the outermost
    loop around it, "" for none; ``reads`` and ``writes`` are tensors.
    """

    number: int
    name: str
    instruction: str
    ops: tuple[OpLine, ...]
    moves: str
    partitions: str
    loops: str
    tiles: str
    epilogue: str
    streamed: str
    busy_ns: Mapping[str, int]
    sbuf_bytes: int
    psum_banks: int
    nest: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisLine:
    """One axis of a tensor in a form: ``tile`` of its ``size`` positions are there at a time.

    ``role`` is "partition", "free", "batch" (a loop takes it position by position) or "hbm".
    """

    name: str
    size: int
    role: str
    tile: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLine:
    """One materialisation. Steps are first and last use; ``address`` is None where none was given.

    ``bytes`` is per partition on chip, of all ``copies``, and 0 in HBM. ``held_partitions``,
    ``chunks`` and ``free_elements`` are the shape of the buffer. ``made_by`` and ``read_by`` are
    steps; ``why`` says which reader needs the tensor like this. ``drawn_at`` is the address, or
    where first fit would put the form if there were room, for the picture of a plan without any.
    """

    memory: str  # "SBUF" or "HBM"
    partitions: str
    free: str
    bytes: int
    first_step: int
    last_step: int
    address: int | None
    drawn_at: int | None
    copies: int
    axes: tuple[AxisLine, ...]
    held_partitions: int
    chunks: int
    free_elements: int
    made_by: tuple[int, ...]
    read_by: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorLine:
    """A tensor, where it lives and every layout it is held in; none if it never materialises.

    ``part_of`` says which window of which input it is, "" for a tensor of its own.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    residency: str
    part_of: str
    bytes: int
    forms: tuple[FormLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLine:
    """What a step moves between HBM and SBUF, over all iterations.

    ``row_bytes`` lie next to each other on both sides: one DMA descriptor. The DMA engines reach
    their full rate with ``full_row_bytes``. ``efficiency`` is the rate of the step over that of all
    DMA engines.
    """

    step: int
    tensor: str
    direction: str  # "load" or "store"
    bytes: int
    row_bytes: int
    full_row_bytes: int
    busy_ns: int
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionLine:
    """A step that changes where or how a tensor lies without computing anything, and its price."""

    step: int
    tensor: str
    how: str
    before: str
    after: str
    busy_ns: Mapping[str, int]

    @property
    def price_ns(self) -> int:
        """Time on all engines together."""
        return sum(self.busy_ns.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """One decision made otherwise, all others as they are.

    ``what`` of the ``subject``, an op or a tensor of step ``step``, is ``now`` and would be
    ``other``. ``change_ns`` is how much the objective grows, None where nothing completes the plan;
    ``against`` says what stands against it, "" if it is the runner-up and could be taken.
    """

    step: int
    subject: str
    what: str
    now: str
    other: str
    change_ns: int | None
    against: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A lane of the timeline at work: neighbouring instructions of one step, drawn as one.

    ``row`` tells DMAs apart that are under way together. In the lane "loop" are iterations that the
    timeline leaps over because every lane goes on as before; ``note`` says how many.
    """

    lane: str
    row: int
    step: int
    start_ns: int
    end_ns: int
    instructions: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """What the roofline is drawn from: a rate is operations or bytes per nanosecond.

    ``operations`` are the multiplications and additions of the program's matmuls, in passes of the
    array that takes ``peak`` of them per nanosecond.
    """

    operations: int
    peak: float
    hbm_bytes_per_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a plan decided, in the user's names.

    ``steps`` are in order of execution and numbered by their place; ``in_use_bytes`` has the bytes
    of every partition that are taken at each of them.
    """

    summary: Summary
    nests: tuple[NestLine, ...]
    steps: tuple[StepLine, ...]
    tensors: tuple[TensorLine, ...]
    transfers: tuple[TransferLine, ...]
    conversions: tuple[ConversionLine, ...]
    decisions: tuple[DecisionLine, ...]
    in_use_bytes: tuple[int, ...]
    bars: tuple[Bar, ...]
    compute: Compute
