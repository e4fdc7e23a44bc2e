"""Structures that were looked at, each of them once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.cuts import Cut, axes_of
from nkigen_cp.ir.factor.nest import bind
from nkigen_cp.ir.factor.program import Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.solver.constants import recognise
from nkigen_cp.solver.stores import split_stores
from nkigen_cp.solver.structure.coarse import Coarse, look
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A structure, its program, and how it looks.

    One found by a ``pressed`` search is large, and the first of them that has a plan is taken.
    """

    structure: Structure
    program: Program
    coarse: Coarse
    pressed: bool = False

    def rank(self, target: Target) -> float:
        """What it would cost if what is missing could be moved out once and back."""
        missing = 2 * self.coarse.missing_bytes * target.partitions
        return self.coarse.total_ns + missing / target.hbm_bytes_per_ns


Dim = tuple[str, int]
"""A tensor's dim."""

Key = tuple[tuple[Cut, ...], tuple[object, ...]]
"""Cuts and loops of a structure."""


@dataclass(slots=True)
class Search:
    """``factored`` programs per cuts, ``bound`` ones per structure, and the shapes of ``seen``.

    ``pressed`` says that nothing fits else: ops which share nothing may get a loop each, and
    constants are counted as made anew wherever they are needed.
    """

    graph: Graph
    target: Target
    pressed: bool = False
    factored: dict[tuple[Cut, ...], Program] = field(default_factory=dict[tuple[Cut, ...], Program])
    bound: dict[Key, Program | None] = field(default_factory=dict[Key, Program | None])
    seen: dict[object, Proposal] = field(default_factory=dict[object, Proposal])
    dims: dict[Dim, Dim] = field(default_factory=dict[Dim, Dim])
    generated: list[str] | None = None

    def __post_init__(self) -> None:
        if () not in self.factored:
            self.factored[()] = refine(self.graph)

    def looking_anew(self, *, pressed: bool) -> Search:
        """A search over the same programs that has not looked at any."""
        return replace(self, pressed=pressed, seen={}, generated=None)

    def made_on_chip(self) -> list[str]:
        """The constants that the chip can make itself, if they are to be made anew."""
        if self.generated is None:
            whole = self.factored[()]
            found = whole.constants.items() if self.pressed else ()
            self.generated = [n for n, a in found if recognise(whole, n, a)]
        return self.generated

    def program(self, structure: Structure) -> Program | None:
        """The program of a structure, None where it has none."""
        cuts = tuple(sorted(structure.cuts, key=lambda c: (c.tensor, c.dim, c.inner)))
        key = (cuts, loops_key(structure.loops))
        if key not in self.bound:
            try:
                self.bound[key] = self._made(cuts, structure.loops)
            except PlanError:
                self.bound[key] = None
        return self.bound[key]

    def _made(self, cuts: tuple[Cut, ...], loops: tuple[Loop, ...]) -> Program | None:
        if cuts not in self.factored:
            self.factored[cuts] = refine(self.graph, cuts)
        if _opaque(self.factored[cuts]) > _opaque(self.factored.get((), self.factored[cuts])):
            return None  # the cuts turn a view into a copy through HBM
        return bind(self.factored[cuts], loops)

    def cut(self, tensor: str, dim: int, inner: int) -> Cut:
        """The cut, named after the first tensor with the same axis: equal cuts are then one."""
        if not self.dims:
            self.dims.update(axes_of(self.graph, self.factored[()].tensors))
        name, at = self.dims.get((tensor, dim), (tensor, dim))
        return Cut(tensor=name, dim=at, inner=inner)


def loops_key(loops: Iterable[Loop]) -> tuple[object, ...]:
    """Loops as something to look them up by, whatever their names."""
    return tuple((k.trips, k.copies, tuple(sorted(k.digits.items()))) for k in loops)


def _opaque(program: Program) -> int:
    return sum(op.kind == "reshape" for op in program.ops.values())


def proposal(job: Search, structure: Structure) -> Proposal | None:
    """The structure and how it looks, None if it has no program."""
    program = job.program(structure)
    if program is None:
        return None
    key = _shape(program)
    if key not in job.seen:
        coarse = look(*split_stores(program), job.target, job.made_on_chip())
        job.seen[key] = Proposal(
            structure=structure, program=program, coarse=coarse, pressed=job.pressed
        )
    return job.seen[key]


def _shape(program: Program) -> object:
    """Loops and digits; the order in which loops of different nests were added does not matter."""
    places: dict[str, int] = {}
    around = tuple(
        (o.digits, tuple(places.setdefault(k, len(places)) for k in o.path))
        for o in program.ops.values()
    )
    loops = sorted(program.loops.values(), key=lambda k: places.get(k.name, -1))
    return around, loops_key(loops)
