"""Ways to break a good plan, each caught by the rule it is listed under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Exchange,
    Form,
    Gather,
    Generate,
    Layout,
    Load,
    Options,
    PlanData,
    Reinterpret,
    Reorder,
    Replicate,
    Run,
    Scatter,
    Step,
    Store,
    Transpose,
    Use,
)
from nkigen_cp.solver.plan.pins import Pin
from nkigen_cp.targets import Target

Break = Callable[[PlanData], PlanData]
SMALL_SBUF = 40_000
"""Bytes per partition that make the large matmul stream its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """``breaks`` spoils the plan, or ``target`` the chip it is checked for."""

    rule: str
    program: str
    breaks: Break = lambda plan: plan
    target: Mapping[str, Any] | None = None

    def of(self, target: Target) -> Target:
        return replace(target, **(self.target or {}))


def steps_of(plan: PlanData, kind: type) -> list[Step]:
    """The plan's steps of one kind."""
    return [s for s in plan.steps if isinstance(s.spec, kind)]


def _set(plan: PlanData, step: Step, **changes: Any) -> PlanData:
    steps = [replace(s, **changes) if s is step else s for s in plan.steps]
    return replace(plan, steps=tuple(steps))


def _in(kind: type, nth: int = 0, **changes: Any) -> Break:
    """Change the spec of the nth step of a kind."""

    def breaks(plan: PlanData) -> PlanData:
        step = steps_of(plan, kind)[nth]
        return _set(plan, step, spec=replace(step.spec, **changes))

    return breaks


def _selecting(**changes: Any) -> Break:
    """Change the select of a constant."""

    def breaks(plan: PlanData) -> PlanData:
        spec: Any = steps_of(plan, Generate)[0].spec
        (select,) = spec.selects
        return _in(Generate, selects=(replace(select, **changes),))(plan)

    return breaks


def _step(kind: type, nth: int = 0, **changes: Any) -> Break:
    """Change the nth step of a kind itself."""
    return lambda plan: _set(plan, steps_of(plan, kind)[nth], **changes)


def _cover(nth: int, change: Callable[[Any], Mapping[str, Any]]) -> Break:
    """Change the cover of the nth elementwise step."""

    def breaks(plan: PlanData) -> PlanData:
        step = steps_of(plan, Elementwise)[nth]
        spec = step.spec
        assert isinstance(spec, Elementwise)
        return _set(plan, step, spec=replace(spec, cover=replace(spec.cover, **change(spec.cover))))

    return breaks


def _params(nth: int, **changes: Any) -> Break:
    return _cover(nth, lambda cover: {"params": {**cover.params, **changes}})


def _plan(**changes: Any) -> Break:
    return lambda plan: replace(plan, **changes)


def _form(pick: Callable[[Form], bool], **changes: Any) -> Break:
    """Change the first form that ``pick`` accepts."""

    def breaks(plan: PlanData) -> PlanData:
        form = next(f for f in plan.forms if pick(f))
        forms = tuple(replace(f, **changes) if f is form else f for f in plan.forms)
        return replace(plan, forms=forms)

    return breaks


def _on_chip(form: Form) -> bool:
    return form.layout is not None


def _renumbered(plan: PlanData, steps: Sequence[Step]) -> PlanData:
    return replace(plan, steps=tuple(replace(s, group=k) for k, s in enumerate(steps)))


def _dropped(plan: PlanData) -> PlanData:
    gone = steps_of(plan, Elementwise)[0]
    return _renumbered(plan, [s for s in plan.steps if s is not gone])


def _loaded_twice(plan: PlanData) -> PlanData:
    load = steps_of(plan, Load)[0]
    return _renumbered(plan, [load, *plan.steps])


def _too_early(plan: PlanData) -> PlanData:
    first = steps_of(plan, Elementwise)[0]
    return _renumbered(plan, [first, *(s for s in plan.steps if s is not first)])


def _not_stored(plan: PlanData) -> PlanData:
    store = plan.steps[-1]
    assert isinstance(store.spec, Store)
    home = store.writes[0].form
    kept = tuple(f for f in plan.forms if f.name != home)
    short = tuple(
        replace(f, last_step=f.last_step - 1) if f.name == store.reads[0].form else f for f in kept
    )
    return replace(plan, steps=plan.steps[:-1], forms=short)


def _hidden(plan: PlanData) -> PlanData:
    """The exponentials become a tensor that never materialises, though the division reads them."""
    step = next(s for s in steps_of(plan, Elementwise) if _is(s, "exp"))
    spec = step.spec
    assert isinstance(spec, Elementwise)
    tensor = spec.cover.writes[0].access.tensor
    left = tuple(u for u in step.writes if u.slot != "dst")
    cover = replace(spec.cover, internal=(*spec.cover.internal, tensor))
    return _set(plan, step, spec=replace(spec, cover=cover), writes=left)


def _is(step: Step, function: str) -> bool:
    spec = step.spec
    return isinstance(spec, Elementwise) and spec.cover.params.get("op") == function


def _from_chip(plan: PlanData) -> PlanData:
    """What moves a whole tensor reads the form that was about to be spilled."""
    move = (steps_of(plan, Reinterpret) or steps_of(plan, Exchange))[0]
    home = move.reads[0].form
    spill = next(s for s in plan.steps if s.writes and s.writes[0].form == home)
    source = spill.reads[0].form
    longer = _form(lambda f: f.name == source, last_step=move.group)(plan)
    return _set(longer, move, reads=(Use(slot="src", form=source),))


def _part_of_store(plan: PlanData) -> PlanData:
    step = plan.steps[-1]
    assert isinstance(step.spec, Store)
    halved = {d: n // 2 for d, n in step.spec.digits.items()}
    return _set(plan, step, spec=replace(step.spec, digits=halved))


def _other_view(plan: PlanData) -> PlanData:
    step = plan.steps[-1]
    assert isinstance(step.spec, Store)
    target = step.spec.target
    index = tuple(replace(i, step=2) if k == 0 else i for k, i in enumerate(target.index))
    return _set(plan, step, spec=replace(step.spec, target=replace(target, index=index)))


def _coarse(cover: Any) -> Mapping[str, Any]:
    return {
        "instruction": "activation",
        "params": {"op": "reciprocal"},
        "engines": ("scalar",),
    }


def _coarse_reciprocal(plan: PlanData) -> PlanData:
    at = [
        isinstance(s.spec, Elementwise) and s.spec.cover.instruction == "reciprocal"
        for s in steps_of(plan, Elementwise)
    ].index(True)
    return _in(Elementwise, at, engine="scalar")(_cover(at, _coarse)(plan))


def _shifted_window(cover: Any) -> Mapping[str, Any]:
    def moved(slot: Any) -> Any:
        index = tuple(replace(i, offset=0) for i in slot.access.index)
        return replace(slot, access=replace(slot.access, index=index))

    return {"reads": tuple(moved(s) for s in cover.reads)}


def _no_columns(cover: Any) -> Mapping[str, Any]:
    return {"reads": tuple(replace(s, column=False) for s in cover.reads)}


def _with_columns(plan: PlanData, loops: tuple[str, ...]) -> PlanData:
    """Other loops for the first step that has a column operand and needs loops for it."""
    for k, step in enumerate(steps_of(plan, Elementwise)):
        spec = step.spec
        assert isinstance(spec, Elementwise)
        if spec.loops and any(s.column for s in spec.cover.reads):
            return _in(Elementwise, k, loops=loops)(plan)
    raise LookupError("no column operand that varies along a free digit")


def _half_contraction(plan: PlanData) -> PlanData:
    spec = steps_of(plan, Contract)[0].spec
    assert isinstance(spec, Contract)
    half = spec.k_run.block // 2
    return _in(Contract, k_run=replace(spec.k_run, block=half, partitions=half))(plan)


def _window_on_partitions(plan: PlanData) -> PlanData:
    """What moves a window is contracted on the partitions."""
    spec = steps_of(plan, Contract)[0].spec
    assert isinstance(spec, Contract)
    run = replace(spec.k_run, digits=(*spec.k_run.digits, *spec.accumulate), partitions=48)
    return _in(Contract, k_run=run, accumulate=())(plan)


def _cut_stream(plan: PlanData) -> PlanData:
    spec = steps_of(plan, Contract)[0].spec
    assert isinstance(spec, Contract)
    assert spec.stream is not None
    stream = replace(spec.stream, block=spec.stream.block - 1)
    return _in(Contract, stream=stream)(plan)


def _epilogue(**changes: Any) -> Break:
    """Change parameters of the first contraction's epilogue."""

    def breaks(plan: PlanData) -> PlanData:
        spec = steps_of(plan, Contract)[0].spec
        assert isinstance(spec, Contract)
        cover = spec.epilogue.cover
        changed = replace(cover, params={**cover.params, **changes})
        return _in(Contract, epilogue=replace(spec.epilogue, cover=changed))(plan)

    return breaks


def _half_rows(plan: PlanData) -> PlanData:
    """Two PSUM tiles for every row that the epilogue reduces in one."""
    spec = steps_of(plan, Contract)[0].spec
    assert isinstance(spec, Contract)
    (tile,) = spec.moving
    return _in(Contract, moving=(replace(tile, block=tile.block // 2),))(plan)


def _epilogue_engine(plan: PlanData) -> PlanData:
    spec = steps_of(plan, Contract)[0].spec
    assert isinstance(spec, Contract)
    cover = replace(spec.epilogue.cover, engines=("gpsimd",))
    return _in(Contract, epilogue=replace(spec.epilogue, cover=cover, engine="gpsimd"))(plan)


def _overlapping(plan: PlanData) -> PlanData:
    first, second = [f for f in plan.forms if f.layout is not None][:2]
    assert first.first_step <= second.first_step <= first.last_step
    return _form(lambda f: f.name == second.name, address=first.address)(plan)


def _bound(plan: PlanData) -> PlanData:
    return replace(plan, bound_ns=plan.bound_ns - 1)


def _row_of_first(plan: PlanData) -> PlanData:
    """The first tensor on chip is held as a row."""
    return _form(_on_chip, layout=Layout())(plan)


def _more(field: str, by: int) -> Break:
    return lambda plan: replace(plan, **{field: getattr(plan, field) + by})


def _moved_store(to: int) -> Break:
    """The update of the input is stored at another time."""

    def breaks(plan: PlanData) -> PlanData:
        (store,) = (s for s in steps_of(plan, Store) if s.writes[0].form == "cache_2.0@hbm")
        steps = [s for s in plan.steps if s is not store]
        steps.insert(to % len(plan.steps), store)
        return _renumbered(plan, steps)

    return breaks


def _reordered(plan: PlanData) -> PlanData:
    """Copies in the place of a transpose."""
    step = steps_of(plan, Transpose)[0]
    spec = Reorder(tensor="x", order=(), loops=(), engine="vector")
    return _set(plan, step, spec=spec)


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption(rule="updates in place", program="cached", breaks=_moved_store(0)),
    Corruption(rule="updates in place", program="cached", breaks=_moved_store(-1)),
    Corruption(
        rule="places in HBM",
        program="cached",
        breaks=_form(lambda f: f.name == "cache_2.0@hbm", over=None),
    ),
    Corruption(
        rule="places in HBM",
        program="cached",
        breaks=_form(lambda f: f.name == "rows@hbm", over="cache@hbm"),
    ),
    Corruption(rule="target", program="chain", target={"name": "trn9"}),
    Corruption(rule="forms", program="chain", breaks=_form(_on_chip, tensor="nobody")),
    Corruption(
        rule="forms",
        program="chain",
        breaks=_form(_on_chip, layout=Layout(partition=("nothing",), block=1)),
    ),
    Corruption(
        rule="forms",
        program="chain",
        breaks=_form(_on_chip, layout=Layout(partition=("d0",), block=64, free=("d0", "d1"))),
    ),
    Corruption(rule="steps", program="chain", breaks=_step(Load, group=5)),
    Corruption(rule="steps", program="chain", breaks=_in(Elementwise, loops=("nothing",))),
    Corruption(rule="slots", program="chain", breaks=_step(Elementwise, reads=())),
    Corruption(rule="every op once", program="softmax", breaks=_dropped),
    Corruption(rule="hidden tensors", program="softmax", breaks=_hidden),
    Corruption(rule="complete forms", program="chain", breaks=_loaded_twice),
    Corruption(rule="read after written", program="chain", breaks=_too_early),
    Corruption(rule="lifetimes", program="chain", breaks=_form(_on_chip, last_step=4)),
    Corruption(rule="reinterpretation in HBM", program="reinterpreted", breaks=_from_chip),
    Corruption(rule="whole spills", program="chain", breaks=_part_of_store),
    Corruption(rule="outputs stored once", program="chain", breaks=_not_stored),
    Corruption(rule="outputs stored once", program="transposed", breaks=_other_view),
    Corruption(rule="engines", program="chain", breaks=_in(Elementwise, engine="gpsimd")),
    Corruption(rule="engines", program="chain", target={"activations": ("exp",)}),
    Corruption(rule="engines", program="gram", breaks=_epilogue_engine),
    Corruption(rule="dtypes", program="softmax", breaks=_coarse_reciprocal),
    Corruption(rule="meaning", program="chain", breaks=_params(0, scale=2.000001)),
    Corruption(rule="meaning", program="chain", breaks=_params(0, op="sigmoid")),
    Corruption(rule="meaning", program="centred", breaks=_params(1, reverse0=True)),
    Corruption(rule="meaning", program="scored", breaks=_epilogue(operand0=0.25)),
    Corruption(rule="meaning", program="scored", breaks=_epilogue(reduce_op="minimum")),
    Corruption(rule="meaning", program="scored", breaks=_epilogue(reduce_cmd="reduce")),
    Corruption(rule="meaning", program="scored", breaks=_epilogue(negate=True)),
    Corruption(rule="engines", program="scored", breaks=_epilogue(reduce_op="power")),
    Corruption(rule="meaning", program="rotated", breaks=_cover(1, _shifted_window)),
    Corruption(
        rule="runs",
        program="chain",
        breaks=_in(Elementwise, run=Run(digits=("d0#0",), block=32, partitions=64)),
    ),
    Corruption(rule="layouts", program="centred", breaks=_row_of_first),
    Corruption(rule="columns", program="centred", breaks=_cover(1, _no_columns)),
    Corruption(rule="columns", program="peeled", breaks=lambda p: _with_columns(p, ())),
    Corruption(rule="loops", program="chain", breaks=_in(Elementwise, loops=("#chunk", "#chunk"))),
    Corruption(rule="loops", program="chain", target={"access_free_dims_max": 0}),
    Corruption(rule="loops", program="scored", breaks=_half_rows),
    Corruption(rule="loops", program="ridge", breaks=_half_rows),
    Corruption(rule="roles of digits", program="gram", breaks=_in(Contract, stationary="rhs")),
    Corruption(rule="roles of digits", program="bias", breaks=_in(Contract, moving=())),
    Corruption(rule="roles of digits", program="slid", breaks=_window_on_partitions),
    Corruption(rule="matmul limits", program="bias", target={"moving_free_max": 8}),
    Corruption(rule="matmul limits", program="bias", target={"psum_bank_bytes": 64}),
    Corruption(rule="matmul limits", program="bias", breaks=_in(Contract, double_row=True)),
    Corruption(rule="matmul operands", program="bias", breaks=_half_contraction),
    Corruption(rule="streams", program="streamed", breaks=_cut_stream),
    Corruption(rule="gathers", program="gathered", breaks=_in(Gather, by="block")),
    Corruption(rule="gathers", program="gathered", breaks=_in(Gather, by="column")),
    Corruption(rule="gathers", program="gathered", breaks=_in(Gather, loops=("d1#1",))),
    Corruption(rule="gathers", program="gathered", breaks=_in(Gather, loops=("d0#0", "d0#0"))),
    Corruption(
        rule="gathers",
        program="gathered",
        breaks=_in(Gather, run=Run(digits=("d0#0",), block=64, partitions=64)),
    ),
    Corruption(rule="gathers", program="along", breaks=_in(Gather, by="row")),
    Corruption(rule="gathers", program="along", breaks=_in(Gather, run=Run(partitions=1))),
    Corruption(rule="steps", program="exchanged", breaks=_in(Exchange, op="exp")),
    Corruption(rule="prices", program="exchanged", breaks=_step(Exchange, busy_ns={"dma": 1})),
    Corruption(rule="reinterpretation in HBM", program="exchanged", breaks=_from_chip),
    Corruption(rule="scatters", program="scattered", breaks=_in(Scatter, loops=())),
    Corruption(
        rule="scatters",
        program="scattered",
        breaks=_in(Scatter, run=Run(digits=("d0#0",), block=3, partitions=3)),
    ),
    Corruption(
        rule="scatters",
        program="scattered",
        breaks=_in(Scatter, run=Run(digits=("d1#1",), block=2, partitions=2)),
    ),
    Corruption(rule="moves", program="gram", breaks=_in(Transpose, engine="gpsimd")),
    Corruption(rule="moves", program="turned inside", breaks=_in(Reorder, engine="tensor")),
    Corruption(rule="moves", program="turned inside", breaks=_in(Reorder, order=("d1", "d2"))),
    Corruption(rule="moves", program="turned inside", breaks=_in(Reorder, loops=("d0",))),
    Corruption(rule="moves", program="turned inside", breaks=_in(Reorder, loops=("d1", "d1"))),
    Corruption(
        rule="moves",
        program="turned inside",
        breaks=_in(Reorder, order=("d2", "#chunk", "d3", "d1"), loops=()),
    ),
    Corruption(rule="moves", program="gram", breaks=_reordered),
    Corruption(rule="prices", program="turned inside", breaks=_in(Reorder, loops=("d1", "d2"))),
    Corruption(rule="moves", program="causal", breaks=_in(Generate, fill=-1.0)),
    Corruption(rule="moves", program="causal", breaks=_in(Generate, fill=None)),
    Corruption(rule="moves", program="causal", breaks=_selecting(value=1.0)),
    Corruption(rule="moves", program="causal", breaks=_selecting(offset=5)),
    Corruption(rule="moves", program="causal", breaks=_selecting(keep="less")),
    Corruption(rule="moves", program="causal", breaks=_selecting(keep="not_equal")),
    Corruption(rule="moves", program="bias", breaks=_in(Replicate, engine="gpsimd")),
    Corruption(rule="form sizes", program="chain", breaks=_form(_on_chip, partition_bytes=4)),
    Corruption(rule="tile sizes", program="chain", breaks=_step(Elementwise, sbuf_bytes=4)),
    Corruption(rule="tile sizes", program="gram", breaks=_step(Contract, psum_banks=1)),
    Corruption(rule="capacity", program="chain", target={"sbuf_partition_bytes": 300}),
    Corruption(rule="addresses", program="chain", breaks=_overlapping),
    Corruption(rule="addresses", program="chain", breaks=_form(_on_chip, address=212_980)),
    Corruption(rule="prices", program="chain", breaks=_step(Elementwise, busy_ns={"scalar": 1})),
    Corruption(rule="objective", program="chain", breaks=_more("objective_ns", 1)),
    Corruption(rule="objective", program="chain", breaks=_bound),
    Corruption(rule="objective", program="chain", breaks=_plan(busy_ns={"dma": 1})),
    Corruption(rule="objective", program="chain", breaks=_plan(status="BEST")),
    Corruption(rule="residency", program="chain", breaks=_plan(residency={})),
    Corruption(
        rule="pins",
        program="chain",
        breaks=_plan(options=Options(pins=(Pin(tensor="x", residency="spill"),))),
    ),
)
