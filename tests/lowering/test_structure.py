"""Loops stay loops, remainders are peeled, and every view lies inside its buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.ir.nki.views import select
from tests.lowering.kernels import (
    Lowered,
    Program,
    biased,
    by_kind,
    exponential,
    instructions,
    kind,
    loops,
    lowered,
    masked,
    matmul,
    softmax,
    statements,
    transposed,
    unrolled,
    views,
)

GROWING: list[tuple[Program, Program]] = [
    ((matmul, ((256, 256), (256, 1024))), (matmul, ((512, 1024), (1024, 2048)))),
    ((transposed, ((256, 256),)), (transposed, ((1024, 1024),))),
    ((softmax, ((256, 512),)), (softmax, ((1024, 512),))),
    ((biased, ((256, 2048), (2048,))), (biased, ((512, 4096), (4096,)))),
    ((exponential, ((256, 64),)), (exponential, ((2048, 64),))),
]

PEELED: list[Program] = [
    (exponential, ((257, 129),)),
    (matmul, ((129, 257), (257, 129))),
    (matmul, ((257, 129), (129, 513))),
    (transposed, ((129, 257),)),
    (softmax, ((257, 129),)),
    (biased, ((129, 257), (257,))),
    (masked, ((257, 129),)),
]


def _name(program: Program) -> str:
    return f"{program[0].__name__}-{program[1]}"


@pytest.mark.parametrize(("small", "large"), GROWING, ids=_name)
def test_the_ir_does_not_grow_with_the_trip_counts(small: Program, large: Program) -> None:
    a, b = lowered(small[0], *small[1]), lowered(large[0], *large[1])
    assert sum(by_kind(b.kernel).values()) >= sum(by_kind(a.kernel).values())
    assert statements(b.kernel) <= statements(a.kernel) + _reordered(a, b)


def _reordered(a: Lowered, b: Lowered) -> int:
    """Statements of loops that need not be there while a trip count is 1."""
    return 2 * max(0, len(loops(b.kernel)) - len(loops(a.kernel)))


@pytest.mark.parametrize("program", PEELED, ids=_name)
def test_remainders_are_computed_like_everything_else(program: Program) -> None:
    made = lowered(program[0], *program[1])
    got = np.asarray(cp.simulate(made.kernel, *made.arrays), np.float64)
    assert got.shape == made.want.shape
    assert np.abs(got - made.want).max() < 1e-3


@pytest.mark.parametrize("program", PEELED, ids=_name)
def test_every_view_lies_inside_its_buffer(program: Program) -> None:
    made = lowered(program[0], *program[1])
    seen = 0
    for instruction, env in unrolled(made.kernel.body, {}):
        for view in views(instruction).values():
            for index, size in zip(view.index, view.shape, strict=True):
                first = index.start.value(env)
                assert 0 <= first <= first + (index.size - 1) * index.step < size
            seen += 1
    assert seen > 4


@pytest.mark.parametrize("program", PEELED, ids=_name)
def test_every_output_element_is_written_exactly_once(program: Program) -> None:
    made = lowered(program[0], *program[1])
    (name,) = made.kernel.outputs
    times = np.zeros(made.kernel.buffers[name].shape, np.int64)
    for instruction, env in unrolled(made.kernel.body, {}):
        view = views(instruction).get("dst")
        if view is not None and view.buffer == name:
            select(times, view, env)[...] += 1
    assert (times == 1).all()


def test_a_remainder_follows_its_loop() -> None:
    """257 rows are two full tiles in a loop and one row after it, not three tiles."""
    made = lowered(matmul, (257, 128), (128, 256))
    products = instructions(made.kernel, "nc_matmul")
    rows = sorted(views(p)["dst"].partitions for p in products)
    stationary = {made.kernel.buffers[views(p)["stationary"].buffer].tensor for p in products}
    assert len(products) == 2
    if stationary == {"a"}:
        assert rows == [1, 128]
        assert by_kind(made.kernel)["nc_matmul"] == 3
    else:
        assert by_kind(made.kernel)["nc_matmul"] == 2


def test_buffers_bear_the_users_names_and_say_which_axis_lies_where() -> None:
    def program(activations: Any, weight: Any) -> Any:
        scores = activations @ weight
        return np.exp(scores)

    specs = (
        cp.spec((128, 128), "float32", axes=("tokens", "inner")),
        cp.spec((128, 256), "float32", axes=("inner", "outer")),
    )
    kernel = cp.lower(cp.solve(cp.trace(program, *specs), effort="fast"))
    held = [b for b in kernel.buffers.values() if b.memory is Memory.SBUF and b.tensor]
    assert held
    for buffer in held:
        assert buffer.name.startswith(buffer.tensor)
        assert "partition" in buffer.note
    weight = next(b for b in held if b.tensor == "weight")
    assert weight.note == "partition: inner; free: outer"


def test_on_chip_buffers_have_the_addresses_of_the_plan() -> None:
    made = kind("Elementwise")
    planned = {f.tensor: f.address for f in made.plan.forms if f.layout is not None}
    buffers = [b for b in made.kernel.buffers.values() if b.memory is Memory.SBUF]
    assert {b.tensor: b.address.offset_bytes for b in buffers if b.address} == planned
