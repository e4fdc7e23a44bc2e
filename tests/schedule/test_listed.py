"""List schedules that keep to the SBUF there is."""

from __future__ import annotations

from itertools import pairwise

from nkigen_cp.schedule.listed import Lister, listed, loads_ahead
from nkigen_cp.schedule.measure import Span
from nkigen_cp.schedule.problem import Edge, Problem, Room
from nkigen_cp.schedule.rigid import Rigid

CHAIN = ("tensor", "scalar", "vector", "tensor")


def _chains(*lengths: int, capacity: int, chain: tuple[str, ...] = CHAIN) -> Problem:
    """Chains of items as long as told; each leaves as many bytes to the next of its chain."""
    each = [range(k * len(chain), (k + 1) * len(chain)) for k in range(len(lengths))]
    spans = [{lane: Span(first_ns=0, last_ns=n)} for n in lengths for lane in chain]
    pairs = [(a, b, n) for n, items in zip(lengths, each, strict=True) for a, b in pairwise(items)]
    return Problem(
        spans=tuple(spans),
        edges=tuple(Edge(before=a, after=b, lag_ns=n) for a, b, n in pairs),
        rooms=tuple(Room(place=f"{a}", users=(a, b), size_bytes=n) for a, b, n in pairs),
        own_bytes=(0,) * len(spans),
        together=(),
        capacity_bytes=capacity,
        trips=1,
    )


def _peak(problem: Problem, order: tuple[int, ...]) -> int:
    ones = (1,) * len(problem.rooms)
    return Rigid(problem).peak_bytes(order, (0,) * len(order), ones)


def test_with_room_chains_overlap_and_without_they_follow_each_other() -> None:
    roomy, tight = _chains(100, 100, 100, capacity=900), _chains(100, 100, 100, capacity=200)
    wide, narrow = (min(Rigid(p).pass_ns(o) for o in listed(p, "balanced")) for p in (roomy, tight))
    assert wide == 600  # the Tensor Engine never waits
    assert narrow == 1200


def test_every_order_keeps_what_it_has_to() -> None:
    problem = _chains(400, 300, 200, 100, 50, capacity=1100)
    for order in listed(problem, "balanced"):
        place = {k: n for n, k in enumerate(order)}
        assert sorted(order) == list(range(len(problem.spans)))
        assert all(place[e.before] < place[e.after] for e in problem.edges)
        assert _peak(problem, order) <= problem.capacity_bytes


def test_draws_only_improve_and_are_the_same_every_time() -> None:
    problem = _chains(400, 310, 230, 120, 70, 50, capacity=1300)
    first, drawn = listed(problem, "balanced")
    assert Rigid(problem).pass_ns(drawn) < Rigid(problem).pass_ns(first)
    assert [first, drawn] == list(listed(problem, "balanced"))
    assert [first, first] == list(listed(problem, "fast"))


def test_there_is_no_order_where_nothing_fits() -> None:
    assert not list(listed(_chains(100, capacity=150), "balanced"))
    assert Lister(Rigid(_chains(100, capacity=150))).order(0.0, 0, [1.0] * 4) is None


def test_what_begins_leaves_the_reserve() -> None:
    """Two chains fit beside each other, but neither may begin without room for one tile more."""
    problem = _chains(100, 100, capacity=300)
    lister, plain = Lister(Rigid(problem)), [1.0] * 8
    beside, behind = lister.order(0.0, 0, plain), lister.order(0.0, 200, plain)
    assert beside is not None
    assert behind is not None
    assert beside.index(4) < beside.index(2)
    assert behind.index(4) > behind.index(2)


def test_loads_of_a_loop_take_no_time_ahead() -> None:
    problem = _chains(100, 100, capacity=900, chain=("load", "tensor", "load"))
    ahead = loads_ahead(problem)
    assert [bool(s) for s in ahead.spans] == [False, True, True] * 2
    assert [e.lag_ns for e in ahead.edges] == [0, 100] * 2
