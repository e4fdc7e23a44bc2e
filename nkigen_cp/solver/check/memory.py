"""SBUF and PSUM: sizes of forms and tiles, what is alive at every step, addresses."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nkigen_cp.ir.nki.row_recipes import ROW_RECIPES, Lengths
from nkigen_cp.solver.check.contractions import stream_bytes
from nkigen_cp.solver.check.delays import first_there
from nkigen_cp.solver.check.facts import COPIES, Facts
from nkigen_cp.solver.check.geometry import demanded, shape_of
from nkigen_cp.solver.plan import Contract, Elementwise, Form, Replicate, Step, Transpose


def sizes(facts: Facts) -> Iterator[str]:
    """A form and its copies occupy what its layout says; HBM ones nothing on chip."""
    for form in facts.plan.forms:
        if form.layout is None:
            if form.partition_bytes or form.address is not None or form.copies != 1:
                yield f"form {form.name!r} is in HBM and claims SBUF"
            continue
        home = form.layout.home
        if form.copies < 1 or (form.copies > 1 and not home):
            yield f"form {form.name!r} has {form.copies} copies at home {home}"
        shape = shape_of(facts.held(form.name), form.layout)
        if shape.partitions > facts.target.partitions:
            yield f"form {form.name!r} needs {shape.partitions} partitions"
        needed = form.copies * shape.bytes
        if form.partition_bytes != needed:
            yield f"form {form.name!r} claims {form.partition_bytes} B, it needs {needed} B"


def tiles(facts: Facts) -> Iterator[str]:
    """A step's own SBUF bytes and PSUM banks are those its spec implies."""
    for step in facts.plan.steps:
        wanted = tile_bytes(facts, step)
        if step.sbuf_bytes != wanted:
            yield f"step {step.name!r} claims {step.sbuf_bytes} B of tiles, it has {wanted} B"
        banks = COPIES if isinstance(step.spec, (Contract, Transpose, Replicate)) else 0
        if step.psum_banks != banks or banks > facts.target.psum_banks:
            yield f"step {step.name!r} claims {step.psum_banks} PSUM banks, it has {banks}"


def tile_bytes(facts: Facts, step: Step) -> int:
    """SBUF bytes per partition alive only within a step: streamed blocks, unread results."""
    spec = step.spec
    if isinstance(spec, Contract):
        return stream_bytes(facts, facts.program.ops[spec.op], spec)
    if isinstance(spec, Replicate):
        layout = facts.forms[step.writes[0].form].layout
        assert layout is not None
        return -(-layout.replicas * facts.tensor(spec.tensor).dtype.size_bytes // 4) * 4
    total = 0
    if isinstance(spec, Elementwise):
        for slot in spec.cover.writes:
            if slot.access.tensor in spec.cover.internal:
                tensor = facts.tensor(slot.access.tensor)
                layout = demanded(tensor, slot.access, spec.run)
                assert not isinstance(layout, str)
                total += shape_of(tensor, layout).bytes
        recipe = ROW_RECIPES.get(spec.cover.instruction)
        if recipe is not None:
            size = {d.name: d.size for d in facts.program.ops[spec.cover.root].digits}
            row, made = (prod(size[d] for d in n) for n in (spec.cover.reduced, spec.cover.made))
            total += recipe.scratch_bytes(Lengths(row=row, made=made))
    return total


def capacity(facts: Facts) -> Iterator[str]:
    """At every step the living forms and the step's own tiles fit into SBUF."""
    most = facts.target.sbuf_partition_bytes
    for step in facts.plan.steps:
        alive = [f for f in _on_chip(facts) if f.first_step <= step.group <= f.last_step]
        names = [f.name for f in alive]
        alive = [f for f in alive if f.over not in names]
        used = sum(f.partition_bytes for f in alive) + step.sbuf_bytes
        if used > most:
            largest = sorted(alive, key=lambda f: -f.partition_bytes)[:3]
            names = ", ".join(repr(f.name) for f in largest)
            yield f"step {step.name!r} has {used} B alive in SBUF ({names}, ...), {most} B exist"


def addresses(facts: Facts) -> Iterator[str]:
    """All forms on chip have addresses or none; those alive together do not overlap."""
    forms = _on_chip(facts)
    at = {f.name: f.address for f in forms}
    placed = [(f, f.address) for f in forms if f.address is not None]
    if placed and len(placed) < len(forms):
        yield f"only {len(placed)} of {len(forms)} forms have addresses"
    for k, (form, start) in enumerate(placed):
        end = start + form.partition_bytes
        if start < 0 or start % 4 or end > facts.target.sbuf_partition_bytes:
            yield f"form {form.name!r} lies at {start}..{end}"
        if form.over is not None and at[form.over] != start:
            yield f"form {form.name!r} lies at {start}, {form.over!r} at {at[form.over]}"
        for other, begin in placed[k + 1 :]:
            if first_there(facts, form.name) == first_there(facts, other.name):
                continue
            together = form.first_step <= other.last_step and other.first_step <= form.last_step
            if together and start < begin + other.partition_bytes and begin < end:
                yield f"forms {form.name!r} and {other.name!r} overlap in SBUF"


def _on_chip(facts: Facts) -> list[Form]:
    return [f for f in facts.plan.forms if f.layout is not None]
