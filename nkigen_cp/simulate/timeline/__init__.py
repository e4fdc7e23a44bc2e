"""The engine timeline: how long a kernel takes, which engine is busy, and what waits for what.

The model is section G of the published performance figures the project was given. Engines execute
their own instructions in program order; an instruction starts when its engine is free and the last
writers and readers of the regions it touches are done, plus, between engines, the producer's write
drain and the consumer's semaphore-to-start. A tile's first use waits for memory that dead tiles
free and for a copy of its buffer. DMAs wait 1.3 us, then share the rings work-conservingly;
loads are issued in program order.

Fitted, by the source of the model: 58 ns per DMA descriptor and 26 ns per transfer, to one run (the
4096x8192x8192 float32 matmul tutorial, v2). Everything else is documented, measured elsewhere, or
follows, except one rule, which was chosen by looking at the figures of ``benchmarks.timeline``. The
source gives each engine a "back-to-back gap" and does not say between which instructions. Here it
separates instructions of one engine only where the second depends on the first, and never on the
Tensor engine, whose sums add up in PSUM.

On the Tensor engine other facts demand the same. A gap after every matmul would cap bf16 at 89 % of
peak, where 90.9 % was measured, and make the float32 tutorial 3 % longer than its work, where 0.7 %
was measured. Between dependent matmuls only, it would cost the order with k innermost 16.5 %, where
hand-tuned kernels lose 6 %. On the other engines the rule rests on one order effect: with a gap
after each of their instructions attention would gain only 7 % from a distance of 3 over 2
(hand-tuned kernels gain 17 %). So that effect is no independent prediction. No figure there tells a
gap between dependent instructions from none at all.
"""

from __future__ import annotations

from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.pipeline import owners
from nkigen_cp.simulate.timeline.loops import run_block
from nkigen_cp.simulate.timeline.machine import Machine
from nkigen_cp.simulate.timeline.path import Segment, critical_path
from nkigen_cp.simulate.timeline.program import LANES, LOAD, prepare, tracked
from nkigen_cp.simulate.timeline.result import Estimate
from nkigen_cp.simulate.timeline.roofline import engine_bound_ns, hbm_bound_ns
from nkigen_cp.simulate.timeline.state import Event, Reason
from nkigen_cp.targets.target import Target

__all__ = ["Estimate", "Event", "Reason", "Segment", "estimate", "simulated"]


def estimate(kernel: Kernel, target: Target | None = None) -> Estimate:
    """Run the engines' queues over ``kernel``, a verified one; no data is needed.

    ``target`` is the kernel's own by default. Deterministic. Loops in steady state are
    extrapolated, so the time this takes hardly depends on trip counts.

    Raises:
        ArgumentError: neither the call nor the kernel has a target.
        KernelError: a buffer is used where it is not allocated.
    """
    target = target or kernel.target
    if target is None:
        raise ArgumentError(f"kernel {kernel.name!r} carries no target; give one to estimate")
    machine = simulated(kernel, target)
    busy = dict(zip(LANES[:LOAD], machine.busy, strict=False))
    return Estimate(
        latency_ns=machine.latency_ns,
        busy_ns={**busy, "dma": max(machine.dma.work())},
        critical_path=critical_path(machine.events),
        hbm_bound_ns=hbm_bound_ns(kernel, target),
        engine_bound_ns=engine_bound_ns(kernel, target),
        instructions=machine.instructions,
        events=tuple(machine.events),
    )


def simulated(kernel: Kernel, target: Target) -> Machine:
    """The machine after ``kernel``: its latency and events, for those who need no more."""
    machine = Machine(target, tracked(kernel), owners(kernel.body))
    for name in machine.geometry:
        if not kernel.buffers[name].memory.on_chip:
            machine.allocate(kernel.buffers[name], {})
    run_block(machine, prepare(kernel, target), {})
    return machine
