"""What the checker asks for a load, against the addresses of its elements one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.factor.program import Factor, FactorTensor
from nkigen_cp.ir.nki.cost import OperandShape, busy_ns
from nkigen_cp.ir.nki.kernel import Memory
from nkigen_cp.solver.check.geometry import shape_of
from nkigen_cp.solver.check.price_dma import loaded_ns
from nkigen_cp.solver.plan import Layout
from nkigen_cp.targets import TRN2

Addresses = NDArray[np.int64]
Case = tuple[FactorTensor, Layout, dict[str, int]]


def made(*sizes: int) -> FactorTensor:
    factors = tuple(Factor(name=f"f{k}", size=n) for k, n in enumerate(sizes))
    return FactorTensor(name="x", shape=sizes, dtype=FLOAT32, factors=factors)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    tensor = made(*draw(st.lists(st.integers(2, 6), min_size=1, max_size=4)))
    names = [f.name for f in tensor.factors]
    partition = tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2)))
    outer = tensor.factor(partition[0]).size if partition else 1
    layout = Layout(
        partition=partition, block=draw(st.integers(1, outer)) if partition else 0, replicas=1
    )
    free = [f for f in tensor.factors if f.name not in partition]
    window = {f.name: draw(st.integers(1, f.size)) for f in free[:1] if draw(st.booleans())}
    return tensor, layout, window


def chunks_of(case: Case) -> list[Addresses]:
    """HBM addresses of every chunk as (partitions, free elements in the order of the form)."""
    tensor, layout, window = case
    order = (*layout.partition, *shape_of(tensor, layout).free)
    steps = {f.name: math.prod(tensor.shape[k + 1 :]) for k, f in enumerate(tensor.factors)}
    extents = [window.get(n, tensor.factor(n).size) for n in order]
    places: list[int] = [
        sum(i * steps[n] for i, n in zip(turn, order, strict=True))
        for turn in itertools.product(*map(range, extents))
    ]
    apart = extents[: len(layout.partition)]
    rows = np.reshape(np.array(places, dtype=np.int64), (math.prod(apart), -1))
    step = layout.block * math.prod(apart[1:]) or 1
    return [rows[k : k + step] for k in range(0, len(rows), step)]


def price_ns(addresses: Addresses) -> float:
    """One DMA: descriptors are as long as the first run of neighbours of a partition."""
    breaks = np.flatnonzero(np.diff(addresses[0]) != 1)
    row = int(breaks[0]) + 1 if breaks.size else addresses.shape[1]
    shape = OperandShape(
        memory=Memory.SBUF,
        dtype=FLOAT32,
        partitions=addresses.shape[0],
        free_size=addresses.shape[1],
        run_bytes=row * 4,
    )
    return busy_ns(TRN2, "dma_copy", "dma", {"dst": shape, "src": shape})


@given(cases())
def test_a_load_costs_what_its_addresses_say(case: Case) -> None:
    chunks = chunks_of(case)
    if len({len(c) for c in chunks}) == 1:
        chunks = [np.concatenate(chunks, axis=1)]
    assert loaded_ns(TRN2, *case) == pytest.approx(sum(price_ns(c) for c in chunks))


def test_rows_end_where_a_partition_factor_lies_between() -> None:
    tensor = made(64, 4, 16)
    outer = loaded_ns(TRN2, tensor, Layout(partition=("f0",), block=64), {})
    inner = loaded_ns(TRN2, tensor, Layout(partition=("f1",), block=4), {})
    shortest = TRN2.dma.min_descriptor_ns
    assert outer == pytest.approx(8 * shortest + TRN2.dma.transfer_overhead_ns)
    assert inner == pytest.approx(4 * 64 * shortest + TRN2.dma.transfer_overhead_ns)
