"""Regions and ramps against sets of positions."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nkigen_cp.simulate.timeline.program import Access
from nkigen_cp.simulate.timeline.ramps import Level, Ramp
from nkigen_cp.simulate.timeline.regions import Region, covers, meet
from nkigen_cp.simulate.timeline.state import Mark

SHAPE = (6, 40)


def positions(region: Region) -> set[tuple[int, ...]]:
    ranges = [
        range(low, low + extent + 1, step or 1)
        for low, (extent, step) in zip(region[1], region[2], strict=True)
    ]
    return set(itertools.product(*ranges))


@st.composite
def regions(draw: st.DrawFn, widest: int = 3) -> Region:
    lows: list[int] = []
    spans: list[tuple[int, int]] = []
    for _ in SHAPE:
        size, step = draw(st.integers(1, 4)), draw(st.integers(1, widest))
        lows.append(draw(st.integers(0, 9)))
        spans.append(((size - 1) * step, step) if size > 1 else (0, 0))
    return (SHAPE, tuple(lows), tuple(spans))


@given(regions(), regions())
def test_disjoint_regions_never_meet_and_shared_positions_always_do(a: Region, b: Region) -> None:
    shared = bool(positions(a) & positions(b))
    if shared:
        assert meet(a, b)
    steps = [(s[1], t[1]) for s, t in zip(a[2], b[2], strict=True)]
    if all(s == t or min(s, t) < 2 for s, t in steps) and all(max(p) < 2 for p in steps):
        assert meet(a, b) == shared


def test_interleaved_columns_do_not_meet() -> None:
    even: Region = ((128, 64), (0, 0), ((127, 1), (62, 2)))
    odd: Region = ((128, 64), (0, 1), ((127, 1), (62, 2)))
    assert not meet(even, odd)
    assert meet(even, even)


@given(regions(), regions())
def test_covering_means_holding_all_positions(a: Region, b: Region) -> None:
    if covers(a, b):
        assert positions(b) <= positions(a)
    assert covers(a, a)


def test_reshapes_of_one_buffer_meet_by_their_extents() -> None:
    rows: Region = ((8, 16), (2, 0), ((1, 1), (15, 1)))
    assert meet(rows, ((128,), (40,), ((3, 1),)))
    assert not meet(rows, ((128,), (64,), ((3, 1),)))


@given(
    regions(widest=1),
    regions(widest=1),
    st.lists(
        st.tuples(st.tuples(st.integers(-2, 3), st.integers(-2, 5)), st.integers(1, 5)),
        min_size=1,
        max_size=2,
    ),
)
def test_a_ramp_is_never_early_and_exact_for_one_loop(
    base: Region, other: Region, loops: list[tuple[tuple[int, int], int]]
) -> None:
    access = Access(buffer="b", writes=True, shape=SHAPE, low=base[1], spans=base[2], terms=())
    levels = tuple(Level(shift, n, 10.0**k) for k, (shift, n) in enumerate(loops))
    got = Ramp(base, Mark(0.0, 0, 0, access), levels).latest(other)
    times: list[float] = []
    for turn in itertools.product(*(range(n + 1) for _, n in loops)):
        pairs = list(zip(turn, levels, strict=True))
        low = tuple(v + sum(i * e.shift[d] for i, e in pairs) for d, v in enumerate(base[1]))
        if positions((SHAPE, low, base[2])) & positions(other):
            times.append(sum(i * e.period_ns for i, e in pairs))
    if times:
        assert got is not None
        assert got >= max(times)
    if len(loops) == 1:
        assert got == (max(times) if times else None)
