"""Progress is reported for better bounds as it is for better plans."""

from __future__ import annotations

from ortools.sat.python import cp_model  # pyright: ignore[reportMissingTypeStubs]

from nkigen_cp.solver.search import Progress, Recorder


def test_a_better_bound_closes_the_gap_of_the_last_solution() -> None:
    seen: list[Progress] = []
    recorder, solver = Recorder(seen.append), cp_model.CpSolver()
    recorder.listen(solver)
    callback = solver.best_bound_callback
    assert callback is not None
    callback(8.0)
    assert not seen  # there is no plan yet whose gap it could be

    model = cp_model.CpModel()
    model.minimize(model.new_int_var(80, 160, "cost"))  # in 1/8 ns
    solver.solve(model, recorder)
    callback(40.0)
    last = seen[-1]
    assert (last.objective_ns, last.bound_ns, last.gap) == (10.0, 5.0, 0.5)


def test_nobody_is_told_what_nobody_asked_for() -> None:
    solver = cp_model.CpSolver()
    Recorder(None).listen(solver)
    assert solver.best_bound_callback is None
