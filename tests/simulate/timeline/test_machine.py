"""Single rules of the model, on kernels small enough to work the times out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nkigen_cp.errors import ArgumentError, KernelError
from nkigen_cp.ir.nki.cost import instruction_cost_ns
from nkigen_cp.ir.nki.kernel import Alloc, Buffer, Instruction, Kernel
from nkigen_cp.simulate.timeline import Estimate, Reason, estimate
from nkigen_cp.targets import TRN2
from nkigen_cp.targets.target import Target
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view

VECTOR, SCALAR, DMA = TRN2.engines["vector"], TRN2.engines["scalar"], TRN2.dma
HANDOFF = VECTOR.write_drain_ns + SCALAR.sem_to_start_ns

T = buffer("t", (128, 1024))
U = buffer("u", (128, 1024))


def half(of: Buffer, start: int, step: int = 1) -> object:
    return view(of, at(0, 128), at(start, 512, step))


def vector_ns(columns: int) -> float:
    return columns / VECTOR.clock_ghz


def fill(dst: object) -> Instruction:
    return op("memset", "vector", dst=dst, value=0.0)  # pyright: ignore[reportArgumentType]


def read(src: object, start: int = 0) -> Instruction:
    return op("tensor_copy", "scalar", dst=half(U, start), src=src)  # pyright: ignore[reportArgumentType]


def run(*body: Instruction, buffers: tuple[Buffer, ...] = (T, U)) -> Estimate:
    return estimate(kernel(buffers, *body), TRN2)


def starts(found: Estimate) -> list[float]:
    return [e.start for e in found.events]


def test_a_result_reaches_another_engine_after_drain_and_semaphore() -> None:
    found = run(fill(half(T, 0)), read(half(T, 0)))
    assert starts(found) == pytest.approx([0.0, vector_ns(512) + HANDOFF])
    assert found.events[1].reason is Reason.DATA
    assert found.latency_ns == pytest.approx(vector_ns(512) + HANDOFF + 512 / 1.2)


@pytest.mark.parametrize("other", [half(T, 512), half(T, 1, 2)], ids=["columns", "odd columns"])
def test_accesses_to_other_positions_do_not_wait(other: object) -> None:
    first = half(T, 0) if other == half(T, 512) else half(T, 0, 2)
    found = run(fill(other), fill(first), read(other))
    assert starts(found)[2] == pytest.approx(vector_ns(512) + HANDOFF)


def test_a_write_waits_for_readers_of_another_engine() -> None:
    found = run(fill(half(T, 0)), read(half(T, 0)), fill(half(T, 0)))
    handoff = SCALAR.write_drain_ns + VECTOR.sem_to_start_ns
    assert starts(found)[2] == pytest.approx(found.events[1].end + handoff)
    assert found.events[2].reason is Reason.IN_USE


def test_the_gap_separates_dependent_instructions_of_one_engine() -> None:
    apart = run(fill(half(T, 0)), fill(half(T, 512)))
    chained = run(fill(half(T, 0)), fill(half(T, 0)))
    assert starts(apart)[1] == pytest.approx(vector_ns(512))
    assert starts(chained)[1] == pytest.approx(vector_ns(512) + VECTOR.gap_ns)


def test_engines_are_busy_for_the_cost_of_their_instructions() -> None:
    body = (fill(half(T, 0)), fill(half(T, 0)), read(half(T, 0)), read(half(T, 0)))
    found = run(*body)
    for engine in ("vector", "scalar"):
        costs = [instruction_cost_ns(TRN2, i, {"t": T, "u": U}) for i in body if i.engine == engine]
        assert found.busy_ns[engine] == pytest.approx(sum(costs))
    assert found.events[3].end - found.events[3].start == pytest.approx(512 / 1.2)


def test_engines_run_in_program_order() -> None:
    idle = buffer("idle", (128, 512))
    found = run(
        fill(half(T, 0)),
        read(half(T, 0)),
        op("activation", dst=view(idle), op="copy", data=half(U, 512)),  # pyright: ignore[reportArgumentType]
        buffers=(T, U, idle),
    )
    assert found.events[2].start == pytest.approx(found.events[1].end)
    assert found.events[2].reason is Reason.ENGINE


def test_accumulating_matmuls_follow_each_other_without_a_gap() -> None:
    a, b = buffer("a", (128, 128), kind="bfloat16"), buffer("b", (128, 512), kind="bfloat16")
    acc = buffer("acc", (128, 512), "psum")
    product = loop(
        "k",
        8,
        op(
            "nc_matmul",
            dst=view(acc),
            stationary=view(a),
            moving=view(b),
            accumulate=var("k"),
        ),
    )
    found = estimate(kernel((a, b, acc), product), TRN2)
    assert found.latency_ns == pytest.approx(8 * 512 / 2.4)
    assert found.engine_bound_ns == pytest.approx(found.latency_ns)
    assert found.busy_share["tensor"] == pytest.approx(1.0)


X = buffer("x", (128, 1024), "input")


def load(dst: Buffer, partitions: int = 128) -> Instruction:
    rows = at(0, partitions)
    return op("dma_copy", dst=view(dst, rows), src=view(X, rows))


def test_a_load_takes_latency_descriptors_and_overhead() -> None:
    found = run(load(T), buffers=(X, T))
    rows = DMA.partitions_per_engine * 4096 / DMA.bytes_per_ns_per_engine
    assert found.latency_ns == pytest.approx(DMA.latency_ns + rows + DMA.transfer_overhead_ns)
    assert found.hbm_bound_ns == pytest.approx(128 * 4096 / TRN2.hbm_bytes_per_ns)


def test_transfers_share_the_rings() -> None:
    alone, both = run(load(T), buffers=(X, T)), run(load(T), load(U), buffers=(X, T, U))
    moving = alone.latency_ns - DMA.latency_ns
    assert both.latency_ns == pytest.approx(alone.latency_ns + moving)
    assert both.events[1].reason is Reason.BANDWIDTH


def test_few_partitions_use_few_rings() -> None:
    low, high = buffer("low", (64, 1024)), buffer("high", (128, 1024))
    apart = op("dma_copy", dst=view(high, at(64, 64)), src=view(X, at(64, 64)))
    found = run(load(low, 64), apart, buffers=(X, low, high))
    alone = run(load(T), buffers=(X, T))
    assert found.latency_ns == pytest.approx(alone.latency_ns)


def test_a_store_that_waits_does_not_hold_up_later_loads() -> None:
    out = buffer("out", (128, 512), "output")
    store = op("dma_copy", dst=view(out), src=half(U, 0))  # pyright: ignore[reportArgumentType]
    other = buffer("other", (128, 1024))
    found = run(load(T), read(half(T, 0)), store, load(other), buffers=(X, T, U, other, out))
    assert found.events[3].start == found.events[0].start == 0.0
    assert found.events[2].start > found.events[1].end


def test_sixteen_queues_take_a_transfer_each_per_interval() -> None:
    tiles = tuple(buffer(f"t{k}", (128, 4)) for k in range(17))
    rows = [at(k % 16 * 8, 1) for k in range(17)]
    tiny = [
        op("dma_copy", dst=view(t, row), src=view(X, row, at(0, 4)))
        for t, row in zip(tiles, rows, strict=True)
    ]
    found = run(*tiny, buffers=(X, *tiles))
    assert [e.start for e in found.events] == [0.0] * 16 + [DMA.queue_issue_ns]
    assert found.events[16].reason is Reason.QUEUE


def rotating(copies: int) -> Kernel:
    """Four times: a tile is filled by Vector and copied by Scalar, which takes longer."""
    tile = replace(buffer("tile", (128, 512)), copies=copies)
    u = buffer("u", (128, 4, 512))
    body = (
        Alloc(buffer=tile),
        fill(view(tile)),
        op(
            "tensor_copy",
            "scalar",
            dst=view(u, at(0, 128), at(var("i"), 1)),
            src=view(tile),
        ),
    )
    made = kernel((u,), loop("i", 4, *body))
    return replace(made, buffers={**made.buffers, "tile": tile})


def test_copies_bound_the_generations_alive() -> None:
    times = [estimate(rotating(copies), TRN2) for copies in (1, 2, 4)]
    handoff = SCALAR.write_drain_ns + VECTOR.sem_to_start_ns
    single = times[0].events
    assert single[2].start == pytest.approx(single[1].end + handoff)
    assert single[2].reason is Reason.COPIES
    assert times[0].latency_ns > times[1].latency_ns > times[2].latency_ns
    assert times[2].events[6].start == pytest.approx(3 * vector_ns(512))


def with_sbuf(target: Target, partition_bytes: int) -> Target:
    return replace(target, sbuf_partition_bytes=partition_bytes)


def test_a_first_use_waits_for_the_space_of_dead_tiles() -> None:
    small = buffer("small", (128, 1))
    other = buffer("other", (128, 1024))
    body = (
        load(T),
        op(
            "tensor_reduce",
            dst=view(small),
            op="add",
            data=view(T),
            num_axes=1,
        ),
        load(other),
    )
    made = kernel((X, T, small, other), *body)
    roomy = estimate(made, with_sbuf(TRN2, 8196))
    tight = estimate(made, with_sbuf(TRN2, 8192))
    assert roomy.events[2].start == 0.0
    assert tight.events[2].start == pytest.approx(tight.events[1].end + VECTOR.write_drain_ns)
    assert tight.events[2].reason is Reason.SPACE


def test_a_kernel_without_target_and_a_missing_buffer_are_errors() -> None:
    made = kernel((T,), fill(view(T)))
    with pytest.raises(ArgumentError, match="carries no target"):
        estimate(made)
    with pytest.raises(KernelError, match="not allocated"):
        estimate(kernel((T,), fill(view(T)), alloc=False), TRN2)
