"""Plan -> kernel: every step carried out in order, over placements of its forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nkigen_cp.ir.factor.program import FactorTensor, HbmWindow, Program
from nkigen_cp.ir.factor.windows import joints
from nkigen_cp.ir.nki.kernel import Affine, Holding, Kernel, Memory
from nkigen_cp.lowering.builder import Builder
from nkigen_cp.lowering.contract import lower_contract
from nkigen_cp.lowering.dma import lower_load, lower_store
from nkigen_cp.lowering.elementwise import lower_elementwise
from nkigen_cp.lowering.exchange import lower_exchange
from nkigen_cp.lowering.gather import lower_gather
from nkigen_cp.lowering.moves import lower_generate, lower_transpose
from nkigen_cp.lowering.place import Placement, buffer_shape, form_dims, layout_run, window_homes
from nkigen_cp.lowering.reinterpret import lower_reinterpret
from nkigen_cp.lowering.reorder import lower_reorder
from nkigen_cp.lowering.replicate import lower_replicate
from nkigen_cp.lowering.scatter import lower_scatter
from nkigen_cp.solver.plan import (
    Contract,
    Elementwise,
    Exchange,
    Form,
    Gather,
    Generate,
    Load,
    PlanData,
    Reinterpret,
    Reorder,
    Replicate,
    Scatter,
    Step,
    Store,
    Transpose,
)
from nkigen_cp.solver.plan.layout import Layout, geometry, operand_layout


@dataclass(slots=True)
class _Lowering:
    program: Program
    plan: PlanData
    b: Builder = field(default_factory=Builder)
    places: dict[str, Placement] = field(default_factory=dict[str, Placement])
    holdings: dict[str, Holding] = field(default_factory=dict[str, Holding])
    forms: dict[str, Form] = field(default_factory=dict[str, Form])
    at: dict[str, Affine] = field(default_factory=dict[str, Affine])

    def place(self, name: str) -> Placement:
        """The placement of a form; on-chip and scratch buffers appear at their first touch."""
        if name not in self.places:
            form = self.forms[name]
            tensor = self.program.tensors[form.tensor]
            if form.layout is None:
                self.places[name] = _scratch(self.b, tensor)
            elif form.over is not None:
                dims = form_dims(tensor, form.layout, {})
                before = self.place(form.over)
                self.places[name] = replace(before, tensor=tensor, layout=form.layout, dims=dims)
                self.holdings[before.buffer.name] = _holding(tensor, form.layout)
            else:
                self.places[name] = self.on_chip(tensor, form.layout, form.copies, form.address)
        return replace(self.places[name], at=self.at)

    def on_chip(
        self, tensor: FactorTensor, layout: Layout, copies: int = 1, address: int | None = None
    ) -> Placement:
        dims = form_dims(tensor, layout, {})
        buffer = self.b.buffer(
            _buffer_name(tensor.name, layout),
            buffer_shape(layout_run(tensor, layout).partitions, dims),
            tensor.dtype,
            Memory.SBUF,
            tensor=tensor.name,
            note=_note(layout, [d.factor for d in dims]),
            copies=copies,
            address=address,
        )
        self.holdings[buffer.name] = _holding(tensor, layout)
        return Placement(buffer=buffer, tensor=tensor, layout=layout, dims=dims)


def _holding(tensor: FactorTensor, layout: Layout) -> Holding:
    names = [f.name for f in tensor.factors]
    shape = geometry(tensor, layout)
    return Holding(
        tensor=tensor.name,
        shape=tensor.shape,
        factors=tuple(f.size for f in tensor.factors),
        partition=tuple(names.index(n) for n in layout.partition),
        free=tuple(names.index(f.name) for f in shape.free),
        block=layout.block,
        chunks=shape.chunks,
    )


def _scratch(b: Builder, tensor: FactorTensor) -> Placement:
    shape = tensor.shape or (1,)
    buffer = b.buffer(f"{tensor.name}_hbm", shape, tensor.dtype, Memory.HBM, tensor=tensor.name)
    return Placement(buffer=buffer, tensor=tensor, layout=None)


def _buffer_name(tensor: str, layout: Layout) -> str:
    if not layout.partition:
        return f"{tensor}_{'all' if layout.replicas > 1 else 'row'}"
    return f"{tensor}_by_{'_'.join(layout.partition)}"


def _note(layout: Layout, free: list[str]) -> str:
    axes = ", ".join("chunk" if f.startswith("#") else f for f in free) or "-"
    if layout.partition:
        return f"partition: {' x '.join(layout.partition)}; free: {axes}"
    what = "replicated on all partitions" if layout.replicas > 1 else "one partition"
    return f"{what}; free: {axes}"


def lower_plan(program: Program, plan: PlanData) -> Kernel:
    """The kernel of a plan; ``program`` must be the one the plan was made for."""
    return lower_steps(program, plan, plan.steps, ())


def lower_steps(
    program: Program, plan: PlanData, steps: Sequence[Step], inside: tuple[str, ...]
) -> Kernel:
    """The kernel of some of a plan's steps in the first iteration of the loops ``inside``.

    For their time alone: what other steps bring on chip is there.
    """
    job = _Lowering(program, plan, forms={f.name: f for f in plan.forms})
    job.at.update(dict.fromkeys(inside, Affine()))
    for name in (*program.inputs, *(c for c in program.constants if _is_bound(plan, c))):
        updated = name in program.updated.values()
        _border(job, name, Memory.UPDATED if updated else Memory.INPUT)
    for name in program.graph.result_names:
        new = program.returned.get(name, name)
        if new in program.updated:
            before = job.places[f"{program.updated[new]}@hbm"]
            job.places[f"{name}@hbm"] = replace(before, tensor=program.tensors[new])
        else:
            _border(job, name, Memory.OUTPUT)
    for name, window in (*program.windows.items(), *program.pieces.items()):
        _window(job, name, window)
    _steps(job, steps, len(inside))
    bound = {
        job.places[f"{c}@hbm"].buffer.name: np.atleast_1d(a)
        for c, a in program.constants.items()
        if _is_bound(plan, c)
    }
    return Kernel(
        name=job.b.unique(plan.kernel) if plan.kernel not in job.b.names else plan.kernel,
        target_name=plan.target,
        inputs=tuple(job.places[f"{n}@hbm"].buffer.name for n in program.inputs),
        outputs=tuple(job.places[f"{n}@hbm"].buffer.name for n in program.graph.output_names),
        mutated_outputs={
            job.places[f"{new}@hbm"].buffer.name: job.places[f"{name}@hbm"].buffer.name
            for name, new in program.graph.mutated.items()
        },
        buffers=job.b.buffers,
        body=tuple(job.b.open[0]),
        holdings=job.holdings,
        bound_inputs=bound,
    )


def _steps(job: _Lowering, steps: Sequence[Step], depth: int) -> None:
    """Neighbouring steps that share their next loop become its body."""
    groups = itertools.groupby(steps, key=lambda s: s.path[depth] if len(s.path) > depth else None)
    for name, group in groups:
        inside = list(group)
        if name is not None:
            _loop(job, name, inside, depth)
            continue
        for step in inside:
            job.b.step = step.group
            _LOWERED[type(step.spec)](job, step)
            _delayed(job, step, depth)


def _loop(job: _Lowering, name: str, steps: Sequence[Step], depth: int) -> None:
    _outer_forms(job, steps, depth)
    for r in job.b.tiles(name, job.program.loops[name].trips, 1):
        job.at[name] = r.start
        _steps(job, steps, depth + 1)
    del job.at[name]
    _delayed(job, steps[0], depth)


def _delayed(job: _Lowering, step: Step, depth: int) -> None:
    """What was just lowered has the step's delay in the loop around; one turn has no variable."""
    if depth and job.at[step.path[depth - 1]].terms:
        job.b.delayed(step.delay_in(depth - 1))


def _outer_forms(job: _Lowering, steps: Sequence[Step], depth: int) -> None:
    """Allocate ahead of a loop what its steps touch first but outlives one iteration."""
    for step in steps:
        for use in (*step.reads, *step.writes):
            layout = job.forms[use.form].layout
            if layout is None or len(layout.home) <= depth:
                job.place(use.form)


def _is_bound(plan: PlanData, constant: str) -> bool:
    return any(f.tensor == constant and f.layout is None for f in plan.forms)


def _border(job: _Lowering, name: str, memory: Memory) -> None:
    tensor = job.program.tensors[name]
    shape = tensor.shape or (1,)
    buffer = job.b.buffer(name, shape, tensor.dtype, memory, tensor=name)
    job.places[f"{name}@hbm"] = Placement(buffer=buffer, tensor=tensor, layout=None)


def _window(job: _Lowering, name: str, window: HbmWindow) -> None:
    """A window of an input or output is a placement in the buffer of that."""
    tensor, base = job.program.tensors[name], job.places[f"{window.base}@hbm"]
    job.places[f"{name}@hbm"] = Placement(
        buffer=base.buffer,
        tensor=tensor,
        layout=None,
        homes=window_homes(tensor, base.tensor.shape, window.offsets),
        joints=joints(job.program, name),
    )


def _uses(job: _Lowering, step: Step) -> dict[str, Placement]:
    return {u.slot: job.place(u.form) for u in (*step.writes, *step.reads)}


def _elementwise(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Elementwise)
    places = _uses(job, step)
    cover = step.spec.cover
    for slot in cover.writes:
        if slot.name not in places:
            tensor = job.program.tensors[slot.access.tensor]
            layout = operand_layout(tensor, slot.access, step.spec.run)
            assert layout is not None
            places[slot.name] = job.on_chip(tensor, layout)
    lower_elementwise(job.b, job.program, step.spec, places)


def _contract(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Contract)
    lower_contract(job.b, job.program, step.spec, _uses(job, step))


def _load(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Load)
    places = _uses(job, step)
    lower_load(job.b, places["src"], places["dst"], {}, step.spec.loops)


def _store(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Store)
    places = _uses(job, step)
    lower_store(job.b, places["src"], places["dst"], step.spec)


def _transpose(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Transpose)
    places = _uses(job, step)
    lower_transpose(job.b, places["src"], places["dst"], step.spec)


def _replicate(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Replicate)
    places = _uses(job, step)
    lower_replicate(job.b, places["src"], places["dst"], step.spec)


def _reorder(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Reorder)
    places = _uses(job, step)
    lower_reorder(job.b, places["src"], places["dst"], step.spec)


def _generate(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Generate)
    lower_generate(job.b, _uses(job, step)["dst"], step.spec)


def _gather(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Gather)
    lower_gather(job.b, job.program, step.spec, _uses(job, step))


def _scatter(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Scatter)
    lower_scatter(job.b, job.program, step.spec, _uses(job, step))


def _reinterpret(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Reinterpret)
    places = _uses(job, step)
    lower_reinterpret(job.b, job.program, step.spec.op, places["src"].buffer, places["dst"].buffer)


def _exchange(job: _Lowering, step: Step) -> None:
    assert isinstance(step.spec, Exchange)
    places = _uses(job, step)
    lower_exchange(job.b, job.program, step.spec, places["src"].buffer, places["dst"].buffer)


_LOWERED: Mapping[type, Callable[[_Lowering, Step], None]] = {
    Elementwise: _elementwise,
    Contract: _contract,
    Load: _load,
    Store: _store,
    Transpose: _transpose,
    Replicate: _replicate,
    Reorder: _reorder,
    Generate: _generate,
    Reinterpret: _reinterpret,
    Exchange: _exchange,
    Gather: _gather,
    Scatter: _scatter,
}
