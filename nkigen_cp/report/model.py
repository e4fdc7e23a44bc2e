"""What a report says, as frozen values: every rendering takes its numbers from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nkigen_cp.solver.plan import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The plan as a whole.

    ``limiting`` is the busiest engine. ``hbm_bytes`` is what the plan moves; no plan moves less
    than ``hbm_bytes_min``: every input and output once. ``sbuf_peak_bytes`` is per partition.
    """

    kernel: str
    target: str
    solver: str
    status: str
    deterministic: bool
    objective_ns: int
    bound_ns: int
    gap: float
    busy_ns: Mapping[str, int]
    limiting: str
    hbm_bytes: int
    hbm_bytes_min: int
    sbuf_peak_bytes: int
    options: Options


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
    axis names. ``sbuf_bytes`` are the step's own tiles, per partition.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLine:
    """One materialisation. Steps are first and last use; ``address`` is None where none was given.

    ``bytes`` is per partition on chip and 0 in HBM.
    """

    memory: str  # "SBUF" or "HBM"
    partitions: str
    free: str
    bytes: int
    first_step: int
    last_step: int
    address: int | None


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
    forms: tuple[FormLine, ...]


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
class Report:
    """Everything a plan decided, in the user's names."""

    summary: Summary
    steps: tuple[StepLine, ...]
    tensors: tuple[TensorLine, ...]
    conversions: tuple[ConversionLine, ...]
