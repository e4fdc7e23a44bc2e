"""Where forms may live: for the whole kernel, or for one iteration of some loops around their uses.

A form at home ``h`` holds one position of every factor that a loop of ``h`` counts. An op inside
deeper loops takes its window of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import Access, FactorTensor, Loop, Program
from nkigen_cp.solver.plan import Store
from nkigen_cp.solver.plan.layout import Fixed, Layout, fixed_factors

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """Homes of one tensor's forms: ``made`` are those its producers may write to."""

    made: tuple[Path, ...]
    fixed: tuple[Fixed, ...]  # in all loops

    def form(self, shape: Layout, home: Path) -> Layout:
        """The arrangement living at a home."""
        return shape.at(home, tuple(f for f in self.fixed if f.loop in home))


def homes_of(program: Program, stores: Sequence[Store]) -> dict[str, Homes]:
    """The homes of every tensor."""
    readers: dict[str, list[Path]] = {t: [] for t in program.tensors}
    uses: dict[str, list[tuple[Path, Access]]] = {t: [] for t in program.tensors}
    for op in program.ops.values():
        for access in op.accesses:
            readers[access.tensor].append(op.path)
            uses[access.tensor].append((op.path, access))
        uses[op.output.tensor].append((op.path, op.output))
    for store in stores:
        readers[store.source.tensor].append(store.path)
        uses[store.source.tensor].append((store.path, store.source))
    fixed = {t: _fixed(program.tensors[t], uses[t]) for t in program.tensors}
    return {
        t: Homes(made=_made(program, t, readers[t], fixed[t]), fixed=fixed[t])
        for t in program.tensors
    }


def _fixed(tensor: FactorTensor, uses: Sequence[tuple[Path, Access]]) -> tuple[Fixed, ...]:
    """Factors that all uses inside a loop take at the same position."""
    found = [(path, fixed_factors(tensor, access)) for path, access in uses]
    every = dict.fromkeys(f for _, fixed in found for f in fixed)
    order = [f.name for f in tensor.factors]
    agreed = [f for f in every if all(f in fixed for path, fixed in found if f.loop in path)]
    return tuple(sorted(agreed, key=lambda f: order.index(f.factor)))


def _made(
    program: Program, tensor: str, readers: Sequence[Path], fixed: Sequence[Fixed]
) -> tuple[Path, ...]:
    """The deepest homes that all uses share, that the nearest readers do, and that producers do.

    From the last the result is spilled as it is made. Where producers write pieces at different
    positions in one iteration, the tensor lives outside of the loop.
    """
    agreed = [f.loop for f in fixed]
    writers = [
        tuple(itertools.takewhile(agreed.__contains__, o.result_path))
        for o in program.producers(tensor)
    ]
    if not writers:
        return ()
    shared = common_path(*writers, *readers)
    if tensor in program.carried.values():
        return (shared,)
    nearest = max((common_path(*writers, r) for r in readers), key=len, default=shared)
    return tuple(dict.fromkeys((shared, nearest, common_path(*writers))))


def prefixes(path: Path) -> Iterable[Path]:
    """All homes around a path, the whole kernel first."""
    return (path[:k] for k in range(len(path) + 1))


def piece_loops(program: Program, tensors: Iterable[str]) -> dict[str, Loop]:
    """Loops of their own in which a tensor's tiles pass through SBUF to be turned.

    One per factor that may be taken position by position, and per nest that may be around; the
    innermost factor is a DMA row.
    """
    found: dict[str, Loop] = {}
    for name in tensors:
        touching = (*program.producers(name), *program.consumers(name))
        homes = dict.fromkeys(h for o in touching for h in prefixes(o.path))
        for factor in program.tensors[name].factors[:-1]:
            for home in homes:
                label = _piece_label(name, factor.name, home)
                found[label] = Loop(name=label, trips=factor.size, digits={})
    return found


def _piece_label(tensor: str, factor: str, home: Path) -> str:
    """A loop has one place among the others: in another nest it is another loop."""
    return ".".join((*home[-1:], tensor, factor))


def in_pieces(tensor: FactorTensor, form: Layout) -> Layout | None:
    """The home of one piece of a form on its way: inside a loop over its outermost free factor."""
    for factor in tensor.factors[:-1]:
        if factor.name not in form.fixed_names:
            label = _piece_label(tensor.name, factor.name, form.home)
            fixed = (*form.fixed, Fixed(factor=factor.name, loop=label))
            return Layout(home=(*form.home, label), fixed=fixed)
    return None


def inside(home: Path, path: Path) -> bool:
    """Whether something at ``path`` runs within one iteration of ``home``."""
    return path[: len(home)] == home


def nest_of(path: Path) -> str:
    """The outermost loop; empty for what runs outside of all loops."""
    return path[0] if path else ""


def tile_of(tensor: FactorTensor, layout: Layout) -> FactorTensor:
    """What a form holds at a time, as a tensor of its own."""
    if not layout.fixed:
        return tensor
    factors = tuple(f for f in tensor.factors if f.name not in layout.fixed_names)
    return replace(tensor, factors=factors, shape=tuple(f.size for f in factors))


def copies_of(program: Program, home: Path) -> int:
    """Buffers of a form that take turns."""
    return program.loops[home[-1]].copies if home else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """First and last position of every loop's ops in the execution order."""

    paths: Sequence[Path]
    of: Mapping[str, tuple[int, int]]

    def around(self, position: int, home: Path) -> tuple[int, int]:
        """Positions over which a form at ``home`` must last that the op at ``position`` uses."""
        path = self.paths[position]
        return self.of[path[len(home)]] if len(path) > len(home) else (position, position)

    def lifetime(self, positions: Sequence[int], home: Path) -> tuple[int, int]:
        """First and last position of a form used at these positions."""
        found = [self.around(k, home) for k in positions]
        return min(a for a, _ in found), max(b for _, b in found)


def spans_of(paths: Sequence[Path]) -> Spans:
    """Extents of all loops in an order of ops given by their paths."""
    of: dict[str, tuple[int, int]] = {}
    for k, path in enumerate(paths):
        for loop in path:
            of[loop] = (of.get(loop, (k, k))[0], k)
    return Spans(paths=paths, of=of)
