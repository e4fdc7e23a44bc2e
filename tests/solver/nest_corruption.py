"""Ways to break a good plan with loops, each caught by the rule it is listed under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.program import Access, FactorIndex
from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Form,
    Generate,
    Layout,
    PlanData,
    Step,
    Store,
    Stream,
)
from nkigen_cp.solver.plan.layout import Fixed
from tests.solver.corruption import Break, Corruption


def _named(plan: PlanData, name: str) -> Step:
    """The step of that name, or the first whose name begins so."""
    begins = [s for s in plan.steps if s.name.startswith(name)]
    return next((s for s in begins if s.name == name), begins[0])


def _step(name: str, **changes: Any) -> Break:
    """Change a step."""

    def breaks(plan: PlanData) -> PlanData:
        step = _named(plan, name)
        steps = (replace(s, **changes) if s is step else s for s in plan.steps)
        return replace(plan, steps=tuple(steps))

    return breaks


def _spec(name: str, **changes: Any) -> Break:
    return lambda plan: _step(name, spec=replace(_named(plan, name).spec, **changes))(plan)


def _form(name: str, change: Callable[[Form], Form]) -> Break:
    """Change the first form whose name begins so."""

    def breaks(plan: PlanData) -> PlanData:
        form = next(f for f in plan.forms if f.name.startswith(name))
        return replace(plan, forms=tuple(change(f) if f is form else f for f in plan.forms))

    return breaks


def _layout(name: str, change: Callable[[Layout], Layout]) -> Break:
    def moved(form: Form) -> Form:
        assert form.layout is not None
        return replace(form, layout=change(form.layout))

    return _form(name, moved)


def _loop(k: int, **changes: Any) -> Break:
    return lambda plan: replace(
        plan,
        loops=tuple(replace(x, **changes) if n == k else x for n, x in enumerate(plan.loops)),
    )


def _all(*breaks: Break) -> Break:
    def together(plan: PlanData) -> PlanData:
        for one in breaks:
            plan = one(plan)
        return plan

    return together


def _order(plan: PlanData, steps: Sequence[Step]) -> PlanData:
    return replace(plan, steps=tuple(replace(s, group=k) for k, s in enumerate(steps)))


def _behind(name: str, other: str) -> Break:
    """Move one step right behind another."""

    def breaks(plan: PlanData) -> PlanData:
        step = _named(plan, name)
        rest = [s for s in plan.steps if s is not step]
        at = rest.index(_named(plan, other)) + 1
        return _order(plan, [*rest[:at], step, *rest[at:]])

    return breaks


def _twice(name: str) -> Break:
    def breaks(plan: PlanData) -> PlanData:
        at = plan.steps.index(_named(plan, name))
        forms = (
            replace(
                f,
                first_step=f.first_step + (f.first_step > at),
                last_step=f.last_step + (f.last_step >= at),
            )
            for f in plan.forms
        )
        longer = replace(plan, forms=tuple(forms))
        return _order(longer, [*plan.steps[: at + 1], *plan.steps[at:]])

    return breaks


def _reads(name: str, slot: str, change: Callable[[FactorIndex], FactorIndex]) -> Break:
    """Other positions for one operand of an elementwise step."""

    def breaks(plan: PlanData) -> PlanData:
        spec = _named(plan, name).spec
        assert isinstance(spec, Elementwise)
        reads = tuple(
            replace(s, access=_moved(s.access, change)) if s.name == slot else s
            for s in spec.cover.reads
        )
        return _spec(name, cover=replace(spec.cover, reads=reads))(plan)

    return breaks


def _moved(access: Access, change: Callable[[FactorIndex], FactorIndex]) -> Access:
    return replace(access, index=tuple(change(i) if i.loop else i for i in access.index))


def _at_start(index: FactorIndex) -> FactorIndex:
    return replace(index, loop=None)


def _store_target(name: str) -> Break:
    """Every iteration stores to the first position."""

    def breaks(plan: PlanData) -> PlanData:
        spec = _named(plan, name).spec
        assert isinstance(spec, Store)
        return _spec(name, target=_moved(spec.target, _at_start))(plan)

    return breaks


def _half(name: str) -> Break:
    def breaks(plan: PlanData) -> PlanData:
        spec = _named(plan, name).spec
        assert isinstance(spec, Store)
        return _spec(name, digits={d: n // 2 for d, n in spec.digits.items()})(plan)

    return breaks


def _swapped(layout: Layout) -> Layout:
    """Each factor follows the other one's loop."""
    first, second = layout.fixed
    return replace(
        layout, fixed=(replace(first, loop=second.loop), replace(second, loop=first.loop))
    )


def _whole(layout: Layout) -> Layout:
    return layout.at((), ())


def _over(name: str, other: str) -> Break:
    return _form(name, lambda f: replace(f, over=other))


def _in_first_nest(layout: Layout) -> Layout:
    return layout.at(("L0",), (Fixed(factor="d0.0", loop="L0"),))


def _stored_inside(plan: PlanData) -> PlanData:
    """The sum is stored in every iteration of the loop that adds it up."""
    inside = _all(_spec("store", path=("L0",)), _step("store", path=("L0",)))
    return inside(plan)


def _one_trip(name: str) -> Break:
    """The engine times of one iteration."""

    def breaks(plan: PlanData) -> PlanData:
        step = _named(plan, name)
        trips = next(k.trips for k in plan.loops if k.name == step.path[-1])
        busy = {e: ns // trips for e, ns in step.busy_ns.items()}
        return _step(name, busy_ns=busy)(plan)

    return breaks


def _streamed(plan: PlanData) -> PlanData:
    """The weights are streamed where a loop goes over their columns already."""
    step = _named(plan, "contract_1")
    assert isinstance(step.spec, Contract)
    slot = next(u.slot for u in step.reads if u.form.startswith("w@"))
    digit = step.spec.moving[-1].digit if slot == "moving" else step.spec.m_run.digits[0]
    stream = Stream(slot=slot, digit=digit, block=128, copies=2)
    reads = tuple(replace(u, form="w@hbm") if u.slot == slot else u for u in step.reads)
    last = _named(plan, "load.w").group
    return _all(
        _spec("contract_1", stream=stream),
        _step("contract_1", reads=reads),
        _form("w@d0", lambda f: replace(f, last_step=last)),
        _form("w@hbm", lambda f: replace(f, last_step=len(plan.steps) - 1)),
    )(plan)


def _generated_alike(plan: PlanData) -> PlanData:
    """The mask of one block of rows is made as if it were that of any other."""
    (spec,) = (s.spec for s in plan.steps if isinstance(s.spec, Generate))
    weights = {f: w for f, w in spec.coefficients.items() if f != "d0.0"}
    return _spec("generate", coefficients=weights)(plan)


def _shifted(name: str, other: str, part: int) -> Break:
    """A form begins inside the other one, behind a part of it."""

    def breaks(plan: PlanData) -> PlanData:
        form = next(f for f in plan.forms if f.name.startswith(other))
        assert form.address is not None
        at = form.address + form.partition_bytes // part
        return _form(name, lambda f: replace(f, address=at))(plan)

    return breaks


def _moved_accumulator(plan: PlanData) -> PlanData:
    end = max((f.address or 0) + f.partition_bytes for f in plan.forms)
    return _form("contract_1@d0", lambda f: replace(f, address=end))(plan)


def _second_half(plan: PlanData) -> PlanData:
    """Pieces are brought from the second one on."""

    def later(layout: Layout) -> Layout:
        first, piece = layout.fixed
        return replace(layout, fixed=(first, replace(piece, offset=1)))

    return _all(_loop(1, trips=3), _layout("x@d0.2", later))(plan)


_MATMUL = "matmul, weights per row block"
_PIECES = "matmul, rows turned in pieces"

NEST_CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption(rule="nests", program="softmax", breaks=_loop(0, trips=3)),
    Corruption(rule="nests", program="softmax", breaks=_loop(0, copies=0)),
    Corruption(rule="nests", program="softmax", breaks=lambda p: replace(p, loops=())),
    Corruption(rule="nests", program="softmax", breaks=lambda p: replace(p, loops=p.loops * 2)),
    Corruption(
        rule="nests",
        program="softmax",
        breaks=lambda p: replace(p, cuts=(Cut(tensor="x", dim=0, inner=64),)),
    ),
    Corruption(rule="nests", program="attention", breaks=lambda p: replace(p, loops=p.loops[::-1])),
    Corruption(
        rule="forms",
        program="softmax",
        breaks=_layout("max_1", lambda x: replace(x, home=("L9",))),
    ),
    Corruption(
        rule="forms", program="softmax", breaks=_layout("max_1", lambda x: replace(x, home=()))
    ),
    Corruption(
        rule="forms",
        program="softmax",
        breaks=_layout("max_1", lambda x: replace(x, fixed=(replace(x.fixed[0], offset=1),))),
    ),
    Corruption(
        rule="forms",
        program="softmax",
        breaks=_layout("max_1", lambda x: replace(x, fixed=x.fixed * 2)),
    ),
    Corruption(rule="paths", program="softmax", breaks=_step("subtract_1_negated", path=())),
    Corruption(rule="paths", program=_MATMUL, breaks=_step("load.w", path=())),
    Corruption(rule="paths", program="attention", breaks=_step("contract_2", path=("L1", "L0"))),
    Corruption(rule="paths", program="softmax", breaks=_behind("load", "subtract_1_negated")),
    Corruption(rule="paths", program="crossing whole", breaks=_behind("store.sum_1", "max_1")),
    Corruption(rule="homes", program="attention", breaks=_layout("scores", _swapped)),
    Corruption(rule="homes", program="crossing whole", breaks=_layout("exps", _in_first_nest)),
    Corruption(
        rule="homes",
        program="crossing whole",
        breaks=_reads("sum_1", "data", lambda i: replace(i, loop="L1")),
    ),
    Corruption(
        rule="read after written", program="softmax", breaks=_behind("max_1", "subtract_1_negated")
    ),
    Corruption(
        rule="read after written",
        program="softmax",
        breaks=_all(_layout("exps", _whole), _reads("divide_1", "data", _at_start)),
    ),
    Corruption(rule="read after written", program="blocked sum", breaks=_stored_inside),
    Corruption(rule="shared places", program="softmax", breaks=_over("exps@", "nothing")),
    Corruption(rule="shared places", program="softmax", breaks=_over("exps@", "x@d0.1/128")),
    Corruption(
        rule="shared places",
        program="softmax",
        breaks=_over("divide_1@", "max_1_negated@d0.1/128[L0]"),
    ),
    Corruption(
        rule="shared places",
        program="layernorm",
        breaks=_over("centred@", "mean_1@d0.1/128[L0]"),
    ),
    Corruption(
        rule="shared places", program="pairs", breaks=_over("multiply_1@", "exps@d0.1/128[L0]")
    ),
    Corruption(
        rule="shared places",
        program="attention",
        breaks=_all(
            _over("_softmax.divide_1_reciprocal@", "_softmax.sum_1@d1.1/128[L0.L1]"),
            _over("_softmax.exps@", "scores@d1.1/128[L0.L1]"),
            _over("contract_2@d1", "_softmax.divide_1_reciprocal@d1.1/128[L0.L1]"),
        ),
    ),
    Corruption(
        rule="shared places",
        program="blocked contraction",
        breaks=_form("contract_1@d", lambda f: replace(f, copies=1)),
    ),
    Corruption(rule="shared places", program="late", breaks=_over("tanh_1@", "exps@d0.1/128[L0]")),
    Corruption(rule="whole reductions", program="blocked sum", breaks=_over("sum_1@", "sum_1@hbm")),
    Corruption(
        rule="whole reductions",
        program="blocked contraction",
        breaks=_form("contract_1@d", lambda f: replace(f, over=None)),
    ),
    Corruption(rule="complete forms", program=_PIECES, breaks=_loop(1, trips=3)),
    Corruption(rule="complete forms", program=_PIECES, breaks=_second_half),
    Corruption(rule="paths", program=_PIECES, breaks=_step("transpose", path=("L0",))),
    Corruption(rule="prices", program=_PIECES, breaks=_one_trip("transpose")),
    Corruption(
        rule="lifetimes",
        program="attention",
        breaks=_form("k@d2", lambda f: replace(f, last_step=f.last_step - 1)),
    ),
    Corruption(
        rule="lifetimes",
        program="softmax",
        breaks=_form("x@d0", lambda f: replace(f, last_step=f.last_step - 1)),
    ),
    Corruption(rule="delays", program="softmax", breaks=_step("divide_1", delays=(0, 1))),
    Corruption(rule="delays", program="softmax", breaks=_step("divide_1", delays=(-1,))),
    Corruption(
        rule="delays", program="attention", breaks=_step("contract_2_scaled", delays=(1, 0))
    ),
    Corruption(rule="order under delays", program="softmax", breaks=_step("sum_1", delays=(1,))),
    Corruption(
        rule="order under delays", program="blocked sum", breaks=_step("transpose.x", delays=(1,))
    ),
    Corruption(
        rule="copies",
        program="softmax",
        breaks=_all(_step("divide_1", delays=(2,)), _step("store.divide_1", delays=(2,))),
    ),
    Corruption(rule="whole spills", program="crossing spilled", breaks=_half("spill")),
    Corruption(rule="outputs stored once", program="softmax", breaks=_store_target("store")),
    Corruption(rule="outputs stored once", program="softmax", breaks=_twice("store")),
    Corruption(rule="meaning", program="softmax", breaks=_reads("max_1", "data", _at_start)),
    Corruption(rule="streams", program=_MATMUL, breaks=_streamed),
    Corruption(rule="moves", program="causal, mask made per block", breaks=_generated_alike),
    Corruption(
        rule="form sizes", program="softmax", breaks=_form("exps", lambda f: replace(f, copies=1))
    ),
    Corruption(
        rule="form sizes",
        program="layernorm",
        breaks=_form(
            "centred", lambda f: replace(f, partition_bytes=f.partition_bytes // f.copies)
        ),
    ),
    Corruption(rule="tile sizes", program="blocked sum", breaks=_step("sum_1.part", sbuf_bytes=0)),
    Corruption(rule="capacity", program="crossing spilled", target={"sbuf_partition_bytes": 8000}),
    Corruption(rule="addresses", program="softmax", breaks=_shifted("divide_1@", "exps", 2)),
    Corruption(rule="addresses", program="blocked contraction", breaks=_moved_accumulator),
    Corruption(rule="prices", program="softmax", breaks=_one_trip("sum_1")),
    Corruption(rule="prices", program=_MATMUL, breaks=_one_trip("load.w")),
    Corruption(rule="prices", program="crossing spilled", breaks=_one_trip("spill")),
    Corruption(
        rule="residency",
        program="crossing spilled",
        breaks=lambda p: replace(p, residency={**p.residency, "exps": "resident"}),
    ),
)
