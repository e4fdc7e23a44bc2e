"""Why nothing fits: the tensors alive together at the worst step, in words and bytes."""

from __future__ import annotations

from nkigen_cp.solver.assemble import assemble
from nkigen_cp.solver.decisions import Decisions
from nkigen_cp.solver.instance import Instance


def describe_overflow(instance: Instance, decisions: Decisions) -> str:
    """One sentence naming the largest tensors of the fullest step and what would help."""
    steps, forms = assemble(instance, decisions)
    capacity = instance.target.sbuf_partition_bytes

    def load(k: int) -> int:
        alive = (f.partition_bytes for f in forms if f.first_step <= k <= f.last_step)
        return steps[k].sbuf_bytes + sum(alive)

    worst = max(range(len(steps)), key=load)
    alive = [f for f in forms if f.layout and f.first_step <= worst <= f.last_step]
    alive.sort(key=lambda f: (-f.partition_bytes, f.name))
    named = ", ".join(f"{f.tensor} ({f.partition_bytes} B)" for f in alive[:4])
    return (
        f"no plan fits {instance.target.name}'s SBUF of {capacity} B per partition: at step "
        f"{steps[worst].name!r} {load(worst)} B are needed, most of it for {named}; "
        f"use smaller shapes or a target with more SBUF (no structure of loops tried fits either)"
    )
