"""The forms one tensor may have: where each may live, how it gets there, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.factor.nest import common_path
from nkigen_cp.ir.factor.program import FactorTensor, Program
from nkigen_cp.solver.candidates import Context, Move, repeated
from nkigen_cp.solver.homes import (
    Homes,
    Path,
    Spans,
    copies_of,
    in_pieces,
    inside,
    prefixes,
    tile_of,
)
from nkigen_cp.solver.moves import (
    generate_moves,
    identity_store,
    load_moves,
    passage,
    replicate_moves,
    transpose_moves,
)
from nkigen_cp.solver.plan import Generate, Store
from nkigen_cp.solver.plan.layout import CHUNK, Layout, geometry, partition_bytes
from nkigen_cp.solver.reorder import reorder_moves
from nkigen_cp.solver.store_cost import store_loops
from nkigen_cp.solver.stores import natural_layouts
from nkigen_cp.targets.target import Target

Place = tuple[Layout | None, str]
"""A layout (None: HBM) and an op."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One tensor's possible forms. ``sizes`` per form are bytes per partition of all its copies.

    ``makers`` and ``readers`` list the candidates that write it by (layout, producer) and read it
    by (layout, last op), in layouts without a home; ``made`` gives the forms such a result may be
    written to, ``served`` those such a reader may use. ``arrivals`` are the moves into a form
    and ``departures`` those out of it, ``fetched`` the positions at which a reader may need a form
    moved or loaded, ``alive`` the first and last step of a form, ``settled`` the last one that may
    still write it. ``written`` are the loops around the producers.
    """

    tensor: FactorTensor
    in_hbm: bool
    layouts: tuple[Layout, ...]
    sizes: Mapping[Layout, int]
    moves: tuple[Move, ...]
    arrivals: Mapping[Layout, tuple[int, ...]]
    departures: Mapping[Layout, tuple[int, ...]]
    fetched: Mapping[Layout, tuple[int, ...]]
    spills: Mapping[Layout, int]  # DMA ns to store the form to HBM; empty for HBM tensors
    producers: tuple[str, ...]
    written: tuple[Path, ...]
    consumers: tuple[str, ...]
    makers: Mapping[Place, tuple[int, ...]]
    readers: Mapping[Place, tuple[int, ...]]
    made: Mapping[Layout, tuple[Layout, ...]]
    served: Mapping[Place, tuple[Layout, ...]]
    alive: Mapping[Layout, tuple[int, int]]
    settled: Mapping[Layout, int]


@dataclass(slots=True)
class Uses:
    """Candidates that write and read one tensor, by place; last ops of those that write it."""

    makers: dict[Place, list[int]] = field(default_factory=dict[Place, list[int]])
    readers: dict[Place, list[int]] = field(default_factory=dict[Place, list[int]])
    roots: dict[str, None] = field(default_factory=dict[str, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a tensor's forms depend on besides its own uses."""

    context: Context
    generated: Mapping[str, Generate]
    homes: Mapping[str, Homes]
    positions: Mapping[str, int]
    spans: Spans

    def path(self, op: str) -> Path:
        return self.spans.paths[self.positions[op]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forms:
    """The forms of a tensor; moves start at ``first``, ``native`` are those no move ends in."""

    made: Mapping[Layout, tuple[Layout, ...]]
    served: Mapping[Place, tuple[Layout, ...]]
    first: tuple[Layout, ...]
    native: tuple[Layout, ...]

    @property
    def all(self) -> tuple[Layout, ...]:
        found = [f for forms in (*self.made.values(), *self.served.values()) for f in forms]
        return tuple(dict.fromkeys(found))


def choice_of(around: Around, tensor: FactorTensor, uses: Uses) -> Choice:
    """The forms of one tensor and the moves between them."""
    context = around.context
    in_hbm = tensor.name in context.in_hbm
    forms = _forms(around, tensor, uses)
    layouts = _with_rows(forms.all)
    layouts += [s for s in forms.first if s not in layouts]
    moves = _moves(around, tensor, forms, layouts)
    producers = tuple(o.name for o in context.program.producers(tensor.name))
    consumers = tuple(dict.fromkeys(root for _, root in uses.readers))
    writing = [around.positions[p] for p in producers if p in around.positions]
    writing += [around.positions[r] for r in uses.roots]
    reading = [around.positions[c] for c in consumers]
    return Choice(
        tensor=tensor,
        in_hbm=in_hbm,
        layouts=tuple(layouts),
        sizes={x: _form_bytes(around, tensor, x) for x in layouts},
        moves=tuple(moves),
        arrivals=_indexed([m.target for m in moves]),
        departures=_indexed([m.source for m in moves]),
        fetched={x: _fetched(around, x, writing, reading) for x in layouts},
        spills={} if in_hbm or tensor.name in around.generated else _spills(around, tensor, forms),
        producers=producers,
        written=tuple(o.path for o in context.program.producers(tensor.name)),
        consumers=consumers,
        makers={k: tuple(v) for k, v in uses.makers.items()},
        readers={k: tuple(v) for k, v in uses.readers.items()},
        made=forms.made,
        served=forms.served,
        alive={x: _alive(around, x, forms, writing, reading) for x in layouts},
        settled={
            x: around.spans.lifetime(writing, x.home)[1]
            for made in forms.made.values()
            for x in made
        },
    )


def _form_bytes(around: Around, tensor: FactorTensor, form: Layout) -> int:
    if tensor.name in around.context.program.carried:
        return 0  # what the accumulator after an iteration occupies already
    return partition_bytes(tensor, form) * copies_of(around.context.program, form.home)


def _with_rows(forms: tuple[Layout, ...]) -> list[Layout]:
    """What is replicated comes from the same on one partition."""
    rows = [Layout().at(x.home, x.fixed) for x in forms if x.replicas > 1]
    return list(dict.fromkeys((*forms, *rows)))


def _forms(around: Around, tensor: FactorTensor, uses: Uses) -> _Forms:
    homes, target = around.homes[tensor.name], around.context.target
    loaded = tensor.name in around.context.in_hbm or tensor.name in around.generated
    deepest = max(homes.made, key=len, default=())
    made = {
        x: tuple(
            f
            for h in homes.made
            if _reads_alike(target, tensor, f := homes.form(x, h), homes.form(x, deepest))
        )
        for x in dict.fromkeys(x for x, _ in uses.makers if x is not None)
    }
    writers = [o.result_path for o in around.context.program.producers(tensor.name)]
    served: dict[Place, tuple[Layout, ...]] = {}
    native: dict[Layout, None] = {}
    for x, root in uses.readers:
        if x is None:
            continue
        path = around.path(root)
        reach: list[Path] = list(prefixes(path))
        if tensor.name in around.context.program.carried:
            reach = [*around.homes[around.context.program.carried[tensor.name]].made]
        if not loaded and writers:
            # Within a shared loop nothing goes through HBM and back.
            shared = common_path(*writers, path)
            own = [h for h in homes.made if inside(h, path)]
            if shared:
                # What one iteration writes is not yet whole: it is read as it was written.
                own = [h for h in own if len(h) >= len(shared) or x in made]
                native |= {homes.form(x, h): None for h in own if len(h) < len(shared)}
            reach = list(dict.fromkeys(own if shared else (*own, *reach)))
        served[x, root] = tuple(
            f
            for h in reach
            if _reads_alike(target, tensor, f := homes.form(x, h), homes.form(x, path))
        )
    first = [f for forms in made.values() for f in forms]
    # What comes from HBM may arrive in its own order and be turned on the chip.
    arriving = [
        f
        for (_, root), forms in served.items()
        for f in forms
        if loaded or not made or _comes_back(around, writers, root)
    ]
    if arriving:
        for home, fixed in {(f.home, f.fixed): None for f in arriving}:
            whole = Layout(home=home, fixed=fixed)
            for place in (whole, _piece(around, tensor, whole)):
                if place is not None:
                    natural = natural_layouts(tile_of(tensor, place), around.context.target)
                    first = [x.at(place.home, place.fixed) for x in natural] + first
    return _Forms(made=made, served=served, first=tuple(dict.fromkeys(first)), native=tuple(native))


def _comes_back(around: Around, writers: list[Path], root: str) -> bool:
    """Whether a reader is in another nest than the producers, so that HBM may lie between."""
    path = around.path(root)
    return bool(path or any(writers)) and not common_path(*writers, path)


def _reads_alike(target: Target, tensor: FactorTensor, form: Layout, tile: Layout) -> bool:
    """Whether engines step through a tile's window of a form as fast as through the tile itself.

    Candidates are priced by the tile, wherever the form lives.
    """
    held, whole = _strides(tensor, tile), _strides(tensor, form)
    item = tensor.dtype.size_bytes

    def pace(stride: int) -> tuple[bool, bool]:
        return stride == 1, stride * item > target.access_stride_penalty_bytes

    return all(pace(whole[name]) == pace(stride) for name, stride in held.items())


def _strides(tensor: FactorTensor, layout: Layout) -> dict[str, int]:
    """Elements between neighbours along every free factor of a form, and between its blocks."""
    shape = geometry(tensor, layout)
    found: dict[str, int] = {}
    step = 1
    for factor in reversed(shape.free):
        found[factor.name] = step
        step *= factor.size
    return found | ({CHUNK: step} if shape.chunks > 1 else {})


def _piece(around: Around, tensor: FactorTensor, whole: Layout) -> Layout | None:
    piece = in_pieces(tensor, whole)
    known = piece is not None and piece.home[-1] in around.context.program.loops
    return piece if known else None


def _moves(
    around: Around, tensor: FactorTensor, forms: _Forms, layouts: list[Layout]
) -> list[Move]:
    context, program = around.context, around.context.program
    needed = dict.fromkeys(f for served in forms.served.values() for f in served)
    made = [f for fs in forms.made.values() for f in fs]
    # A loop of ops cannot start earlier to load what they need in another layout.
    own = [s for s in forms.first if s.home and s.home[-1] not in around.spans.of]
    inner = {s: None for s in (*made, *own) if s.home}
    found: list[Move] = []
    for x in layouts:
        if x in forms.native:
            continue
        tile = tile_of(tensor, x)
        moves: list[Move] = []
        if tensor.name in around.generated:
            moves += generate_moves(context, tile, x, around.generated[tensor.name])
        else:
            moves += load_moves(context, tensor, x)
            moves += replicate_moves(context, tile, x)
            for s in forms.first if x in needed else ():
                if inside(s.home, x.home) and not set(s.partition) & set(x.fixed_names):
                    moves += transpose_moves(context, tile, s.at(s.home, x.fixed), x)
                    moves += reorder_moves(context, tensor, s, x)
                elif s in inner and s.home[:-1] == x.home and not _mixed(s, x):
                    turned = x.at(x.home, s.fixed)
                    moves += [
                        replace(m, target=x)
                        for m in transpose_moves(context, tile_of(tensor, s), s, turned)
                    ]
                    moves += reorder_moves(context, tensor, s, x)
            moves = [_from_home(m, forms) for m in moves]
        found += [
            replace(m, busy_ns=repeated(m.busy_ns, program.trips(path_of(m))))
            for m in moves
            if not _in_the_way(program, m)
        ]
    return found


def _mixed(source: Layout, target: Layout) -> bool:
    """Whether a factor that the target spreads over the partitions comes one by one."""
    return bool(set(target.partition) & set(source.fixed_names))


def _in_the_way(program: Program, move: Move) -> bool:
    """Whether the move would hold up the Tensor Engine inside a segment."""
    inside_segment = any(program.loops[k].segment for k in path_of(move))
    return inside_segment and "tensor" in move.busy_ns


def at_once(move: Move) -> bool:
    """Whether the source is needed at one moment only, not again in every iteration of a loop."""
    source = move.source
    return source is not None and source.home[: len(move.target.home)] == move.target.home


def in_time(choice: Choice, spilled: Layout, loaded: Layout) -> bool:
    """Whether a spill is done when another form is loaded, in a loop that both are in, too."""
    return all(len(common_path(path, loaded.home)) <= len(spilled.home) for path in choice.written)


def path_of(move: Move) -> Path:
    """The loops a move runs in: those of the end that lives deeper."""
    return max((x.home for x in (move.source, move.target) if x is not None), key=len)


def _from_home(move: Move, forms: _Forms) -> Move:
    """The move from the form that its source is a window of."""
    if move.source is None or move.source in forms.first:
        return move
    same = (f for f in forms.first if f.home == move.source.home and f.shape == move.source.shape)
    return replace(move, source=next(same, move.source))


def _spills(around: Around, tensor: FactorTensor, forms: _Forms) -> dict[Layout, int]:
    """DMA time of storing what producers write, from every form that they may write to."""
    program = around.context.program
    found: dict[Layout, int] = {}
    for made in forms.made.values():
        for x in made:
            if x.replicas > 1:
                continue
            found[x] = round(passage(around.context, tensor, x).dma_ns) * program.trips(x.home)
    return found


def spill_of(tensor: FactorTensor, form: Layout) -> Store:
    """Storing what a form holds, once per iteration of its home."""
    store = identity_store(tensor, f"spill.{tensor.name}", form.home, form.fixed)
    return replace(store, loops=store_loops(tensor, tensor, form, store))


def _alive(
    around: Around, form: Layout, forms: _Forms, writing: list[int], reading: list[int]
) -> tuple[int, int]:
    """From the birth of the tensor to its last use, as far as the form's home reaches."""
    made = any(form in f for f in forms.made.values())
    deeper = any(len(f.home) > len(form.home) for fs in forms.made.values() for f in fs)
    uses = [*writing, *reading] if made or deeper or not form.home else reading
    near = [k for k in uses if inside(form.home, around.spans.paths[k])]
    return around.spans.lifetime(near or uses, form.home)


def _fetched(
    around: Around, form: Layout, writing: list[int], reading: list[int]
) -> tuple[int, ...]:
    """Positions of the first ops that run after a move into the form, or out of it, was due."""
    home = tuple(k for k in form.home if k in around.spans.of)  # not the loop over its pieces
    near = [k for k in (*writing, *reading) if inside(home, around.spans.paths[k])]
    return tuple(sorted(dict.fromkeys(around.spans.around(k, home)[0] for k in near)))


def _indexed(ends: list[Layout | None]) -> dict[Layout, tuple[int, ...]]:
    """Indices by layout, in order."""
    found: dict[Layout, list[int]] = {}
    for j, x in enumerate(ends):
        if x is not None:
            found.setdefault(x, []).append(j)
    return {x: tuple(js) for x, js in found.items()}
