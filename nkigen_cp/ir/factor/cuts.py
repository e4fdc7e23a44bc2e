"""Where dims and axes must be cut so that every index map addresses whole factors.

A cut ``c`` of a dim of size ``n`` says that positions split into ``(n / c, c)``. A reshape that
writes ``h * 64 + d`` cuts the dim at 64; the cut travels through every index map to all dims and
axes that run along it. Cuts of one dim must form a chain (each divides the next); a view that would
break the chain is opaque: it goes through HBM, where row-major reinterpretation is free.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.factor.program import OPAQUE
from nkigen_cp.ir.tensor.graph import DimIndex, Graph, Op, Operand, Term

Node = tuple[str, str, int]  # ("tensor" | "op", name, dim or axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Axis ``axis`` of an op runs along ``dim`` of a tensor in steps of ``stride``.

    It runs from ``offset`` upwards, or downwards where it is ``reversed``. Where it makes a window
    that ``slides`` along the dim, neither of them is cut.
    """

    op: str
    dim: Node
    axis: Node
    dim_size: int
    axis_size: int
    stride: int
    offset: int
    reversed: bool
    slides: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliding:
    """A dim along which a window slides: ``offset + main + slide``, which overlap."""

    offset: int
    main: Term
    slide: Term


def slid(op: Op, dim: DimIndex) -> Sliding | None:
    """How a window slides along a dim: along a kept axis, by a contracted one.

    None where the terms are digits of the dim, each counting in whole spans of the one before.
    """
    terms = sorted((t for t in dim.terms if op.axes[t.axis].size > 1), key=lambda t: abs(t.stride))
    digits = all(
        b.stride % (a.stride * op.axes[a.axis].size) == 0 for a, b in itertools.pairwise(terms)
    )
    if digits or len(terms) != 2:
        return None
    slide, main = sorted(terms, key=lambda t: not op.axes[t.axis].reduced)
    if op.axes[main.axis].reduced or not op.axes[slide.axis].reduced:
        return None
    return Sliding(offset=dim.offset, main=main, slide=slide)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """The cuts of every dim and axis, ascending, and the ops that no cut can serve."""

    at: dict[Node, tuple[int, ...]]
    opaque: tuple[str, ...]

    def factors(self, node: Node, size: int) -> tuple[int, ...]:
        """Factor sizes of a dim or axis, outermost first; none for size 1."""
        if size == 1:
            return ()
        bounds = (1, *self.at.get(node, ()), size)
        return tuple(b // a for a, b in itertools.pairwise(bounds))[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A wanted cut of a tensor's dim: blocks of ``inner`` positions."""

    tensor: str
    dim: int
    inner: int


def find_cuts(graph: Graph, wanted: Sequence[Cut] = ()) -> Cuts:
    """The coarsest cuts under which every non-opaque op addresses whole factors.

    ``wanted`` cuts are made besides; where they do not nest, views become opaque.

    Raises:
        PlanError: wanted cuts do not nest, and no view is there to blame.
    """
    opaque: list[str] = [o.name for o in graph.ops.values() if o.kind in OPAQUE]
    of_op = {op.name: _links(graph, op) for op in graph.ops.values()}
    while True:
        links = [k for op, found in of_op.items() if op not in opaque for k in found]
        digits = _digits(links)
        cuts = _propagate(links, digits, wanted)
        culprit = _conflict(graph, links, digits, cuts)
        if culprit is None:
            return Cuts(at={n: tuple(sorted(c)) for n, c in cuts.items()}, opaque=tuple(opaque))
        target = graph.ops[culprit].outputs[0].tensor
        opaque += [o.name for o in graph.producers(target) if o.name not in opaque]


def axes_of(graph: Graph, first: Collection[str] = ()) -> dict[tuple[str, int], tuple[str, int]]:
    """Every tensor dim -> the first dim of the graph that the same axis runs along whole.

    A cut of one is a cut of the other. Dims of the tensors ``first`` come before all others.
    """
    parent: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for op in graph.ops.values():
        for link in _links(graph, op):
            if link.stride == 1 and link.dim_size == link.axis_size and not link.reversed:
                parent[root(link.axis)] = root(link.dim)
    names: dict[Node, tuple[str, int]] = {}
    found: dict[tuple[str, int], tuple[str, int]] = {}
    for tensor in sorted(graph.tensors.values(), key=lambda t: t.name not in first):
        for d in range(len(tensor.shape)):
            found[tensor.name, d] = names.setdefault(
                root(("tensor", tensor.name, d)), (tensor.name, d)
            )
    return found


def _links(graph: Graph, op: Op) -> list[Link]:
    links: list[Link] = []
    for operand in (*op.operands, *op.outputs):
        shape = graph.tensors[operand.tensor].shape
        for d, index in enumerate(operand.index):
            links += _dim_links(op, operand, d, index, shape[d])
    return links


def _dim_links(op: Op, operand: Operand, d: int, index: DimIndex, size: int) -> list[Link]:
    slides = slid(op, index) is not None
    return [
        Link(
            op=op.name,
            dim=("tensor", operand.tensor, d),
            axis=("op", op.name, term.axis),
            dim_size=size,
            axis_size=op.axes[term.axis].size,
            stride=abs(term.stride),
            offset=index.offset,
            reversed=term.stride < 0,
            slides=slides,
        )
        for term in index.terms
        if op.axes[term.axis].size > 1
    ]


def _nests(link: Link) -> bool:
    """Whether the stride is a digit boundary rather than the step of a strided slice."""
    return link.stride > 1 and link.offset == 0 and link.dim_size % link.stride == 0


def _propagate(
    links: list[Link], digits: list[bool], wanted: Sequence[Cut]
) -> dict[Node, set[int]]:
    """The closure of the wanted cuts, and of those that nested reshapes make, under all links."""
    cuts: dict[Node, set[int]] = {}
    at: dict[Node, list[Link]] = {}
    for cut in wanted:
        cuts.setdefault(("tensor", cut.tensor, cut.dim), set()).add(cut.inner)
    for link, digit in zip(links, digits, strict=True):
        found = cuts.setdefault(link.dim, set())
        cuts.setdefault(link.axis, set())
        at.setdefault(link.dim, []).append(link)
        at.setdefault(link.axis, []).append(link)
        span = link.stride * link.axis_size
        if digit:
            found.update(c for c in (link.stride, span) if 1 < c < link.dim_size)
    todo = dict.fromkeys(n for n, found in cuts.items() if found)
    while todo:
        node, _ = todo.popitem()
        for link in at.get(node, ()):
            dim, axis = cuts[link.dim], cuts[link.axis]
            if link.slides:
                continue
            down = {c // link.stride for c in dim if c % link.stride == 0}
            down = {c for c in down if 1 < c < link.axis_size} - axis
            up = {c * link.stride for c in axis if c * link.stride < link.dim_size} - dim
            axis |= down
            dim |= up
            todo |= dict.fromkeys(n for n, new in ((link.axis, down), (link.dim, up)) if new)
    return cuts


def _digits(links: list[Link]) -> list[bool]:
    """Digits of a nested reshape: several axes on one dim, or one with a dividing stride."""
    axes: dict[tuple[str, Node], dict[Node, None]] = {}
    for link in links:
        axes.setdefault((link.op, link.dim), {})[link.axis] = None
    return [
        (len(axes[k.op, k.dim]) > 1 and not k.slides)
        or (_nests(k) and k.stride * k.axis_size == k.dim_size)
        for k in links
    ]


def _conflict(
    graph: Graph, links: list[Link], digits: list[bool], cuts: dict[Node, set[int]]
) -> str | None:
    """The last view on a chain that does not divide, or whose window is not aligned to a cut."""
    sizes = {k.dim: k.dim_size for k in links} | {k.axis: k.axis_size for k in links}
    broken = [n for n in sizes if not _is_chain(cuts[n], sizes[n])]
    if broken:
        return _last_view(graph, links, broken[0])
    rigid = [n for k in links if k.slides for n in (k.dim, k.axis) if cuts[n]]
    if rigid:
        return _last_view(graph, links, rigid[0])
    for link, digit in zip(links, digits, strict=True):
        if link.slides:
            continue
        inner = [c for c in cuts[link.dim] if c < link.stride * link.axis_size]
        whole = link.stride * link.axis_size == link.dim_size or digit
        strided = link.stride > 1 and not digit
        strided = strided or (link.reversed and not whole)
        misaligned = any(link.offset % c or (link.axis_size * link.stride) % c for c in inner)
        outer = [c for c in cuts[link.dim] if c >= link.stride * link.axis_size and not whole]
        crosses = any(link.offset // c != (link.offset + link.axis_size - 1) // c for c in outer)
        if (strided and cuts[link.dim]) or (not whole and (misaligned or crosses)):
            return link.op
    return None


def _is_chain(cuts: set[int], size: int) -> bool:
    bounds = (*sorted(cuts), size)
    return all(b % a == 0 for a, b in itertools.pairwise(bounds))


def _last_view(graph: Graph, links: list[Link], node: Node) -> str:
    """The last copy op, in program order, in the component of links around a node."""
    reached = {node}
    grew = True
    while grew:
        grew = False
        for link in links:
            if (link.dim in reached) != (link.axis in reached):
                reached |= {link.dim, link.axis}
                grew = True
    touching = {k.op for k in links if k.dim in reached}
    views = [n for n, o in graph.ops.items() if n in touching and o.kind == "copy"]
    if not views:
        raise PlanError("the cuts of a dim do not nest")
    return views[-1]
