"""The rigid model's times and memory, on problems small enough to work out by hand."""

from __future__ import annotations

import itertools

import pytest

from nkigen_cp.schedule.improve import pipelined, reordered
from nkigen_cp.schedule.measure import Span
from nkigen_cp.schedule.problem import Edge, Problem, Room
from nkigen_cp.schedule.rigid import Rigid


def _problem(
    *lanes: str, edges: tuple[tuple[int, int], ...], trips: int = 1, capacity: int = 1000
) -> Problem:
    """Items of 100 ns on a lane each; a consumer starts when its producer has finished.

    Every edge is a room of 100 bytes.
    """
    return Problem(
        spans=tuple({lane: Span(first_ns=0, last_ns=100)} for lane in lanes),
        edges=tuple(Edge(before=a, after=b, lag_ns=100) for a, b in edges),
        rooms=tuple(Room(place=f"{a}-{b}", users=(a, b), size_bytes=100) for a, b in edges),
        own_bytes=(0,) * len(lanes),
        together=(),
        capacity_bytes=capacity,
        trips=trips,
    )


CHAIN = ("tensor", "scalar", "vector")


def test_one_pass_waits_for_lanes_and_producers() -> None:
    rigid = Rigid(_problem(*CHAIN, "tensor", edges=((0, 1), (1, 2))))
    assert rigid.pass_ns((0, 1, 2, 3)) == 300
    assert rigid.pass_ns((3, 0, 1, 2)) == 400


def test_a_loop_without_delays_runs_its_chain_as_far_as_copies_allow() -> None:
    rigid = Rigid(_problem(*CHAIN, edges=((0, 1), (1, 2)), trips=8))
    assert rigid.loop_ns((0, 1, 2), (0, 0, 0), (2, 2)) == 300 + 7 * 100
    assert rigid.loop_ns((0, 1, 2), (0, 0, 0), (1, 1)) == 300 + 7 * 200


def test_items_of_one_lane_keep_each_other_waiting_unless_delayed() -> None:
    problem = _problem("tensor", "scalar", "tensor", edges=((0, 1), (1, 2)), trips=8)
    rigid = Rigid(problem)
    assert rigid.loop_ns((0, 1, 2), (0, 0, 0), (2, 2)) == 8 * 300
    assert rigid.loop_ns((0, 1, 2), (0, 0, 1), (2, 3)) == 8 * 200
    found = pipelined(problem, "fast")
    assert found is not None
    assert found.delays[2] > 0
    assert found.length_ns == 8 * 200


def test_where_lanes_idle_orders_and_delays_change_together() -> None:
    chain = ("tensor", "scalar", "vector", "scalar", "vector", "tensor")
    edges = tuple((6 * k + n, 6 * k + n + 1) for k in range(3) for n in range(5))
    problem = _problem(*chain * 3, edges=edges, trips=16, capacity=1200)
    greedy, found = pipelined(problem, "fast"), pipelined(problem, "balanced")
    assert greedy is not None
    assert found is not None
    assert found.length_ns < 0.9 * greedy.length_ns
    assert found == pipelined(problem, "balanced")
    place = {k: n for n, k in enumerate(found.order)}
    assert all(place[a] < place[b] and found.delays[a] <= found.delays[b] for a, b in edges)
    peak = Rigid(problem).peak_bytes(found.order, found.delays, found.copies)
    assert peak <= problem.capacity_bytes


def test_more_trips_than_are_run_go_on_at_the_same_pace() -> None:
    few = Rigid(_problem(*CHAIN, edges=((0, 1), (1, 2)), trips=12))
    many = Rigid(_problem(*CHAIN, edges=((0, 1), (1, 2)), trips=1000))
    assert few.loop_ns((0, 1, 2), (0, 0, 0), (2, 2)) == 300 + 11 * 100
    assert many.loop_ns((0, 1, 2), (0, 0, 0), (2, 2)) == 300 + 999 * 100


def test_the_pace_of_a_delayed_loop_is_that_of_all_items_together() -> None:
    """While the last iterations drain, the first item's lane is free for the other one."""
    trips = 1000
    rigid = Rigid(_problem("tensor", "tensor", edges=((0, 1),), trips=trips))
    assert rigid.loop_ns((0, 1), (0, 5), (6,)) == trips * 200


def test_rooms_last_from_first_to_last_user_or_for_all_of_a_turn() -> None:
    rigid = Rigid(_problem(*CHAIN, edges=((0, 1), (1, 2))))
    assert rigid.peak_bytes((0, 1, 2), (0, 0, 0), (1, 1)) == 200
    assert rigid.peak_bytes((0, 1, 2), (0, 0, 0), (2, 1)) == 300
    assert rigid.peak_bytes((0, 1, 2), (0, 0, 1), (2, 3)) == 200 + 300


@pytest.mark.parametrize("capacity", [200, 400, 500, 1000])
def test_a_pipeline_fits(capacity: int) -> None:
    edges = ((0, 1), (1, 2))
    problem = _problem("tensor", "scalar", "tensor", edges=edges, trips=8, capacity=capacity)
    found = pipelined(problem, "fast")
    assert found is not None
    rigid = Rigid(problem)
    assert rigid.peak_bytes(found.order, found.delays, found.copies) <= capacity
    assert found.length_ns == rigid.loop_ns(found.order, found.delays, found.copies)
    assert (found.length_ns < 2400) == (capacity >= 400)


def test_an_item_that_waits_lets_others_go_first() -> None:
    """tensor -> scalar -> tensor beside tensor alone: the lone item fills the gap."""
    problem = _problem("tensor", "scalar", "tensor", "tensor", edges=((0, 1), (1, 2)))
    found = reordered(problem, "fast")
    assert found is not None
    assert Rigid(problem).pass_ns(range(4)) == 400
    assert found.length_ns == 300
    assert found.order.index(3) < found.order.index(2)


def test_what_does_not_seem_to_fit_keeps_its_order() -> None:
    problem = _problem(*CHAIN, edges=((0, 1), (1, 2)), trips=8, capacity=100)
    assert reordered(problem, "fast") is None
    assert pipelined(problem, "fast") is None


def test_no_order_takes_less_than_the_bound() -> None:
    edges = ((0, 1), (1, 2), (3, 4), (4, 5))
    problem = _problem("load", "scalar", "vector", "load", "scalar", "vector", edges=edges)
    rigid = Rigid(problem)
    assert rigid.least_ns() == 100 + 2 * 100 + 100  # the first load, Scalar twice, Vector
    times = [rigid.pass_ns(order) for order in itertools.permutations(range(6)) if _legal(order)]
    assert min(times) == rigid.least_ns()


def _legal(order: tuple[int, ...]) -> bool:
    """Whether both chains of three keep their order."""
    chains = ([k for k in order if k < 3], [k for k in order if k >= 3])
    return chains == ([0, 1, 2], [3, 4, 5])


def test_a_chain_takes_as_long_as_its_items_together() -> None:
    rigid = Rigid(_problem(*CHAIN, edges=((0, 1), (1, 2))))
    assert rigid.least_ns() == rigid.pass_ns((0, 1, 2)) == 300


def test_a_changed_order_is_timed_from_where_it_differs() -> None:
    edges = ((0, 1), (1, 2), (3, 4), (4, 5))
    rigid = Rigid(_problem("load", "scalar", "vector", "load", "scalar", "vector", edges=edges))
    legal = [order for order in itertools.permutations(range(6)) if _legal(order)]
    found = 0
    for first, second in itertools.permutations(legal, 2):
        known = rigid.known(first)
        assert known.length_ns == rigid.pass_ns(first)
        apart = [n for n in range(6) if first[n] != second[n]]
        time_ns = rigid.shorter_ns(known, second, apart[0], apart[-1] + 1)
        sooner = rigid.pass_ns(second) < known.length_ns
        assert time_ns == (rigid.pass_ns(second) if sooner else None)
        found += sooner
    assert found
