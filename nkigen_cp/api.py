"""The public functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.emit import emit_nki
from nkigen_cp.errors import ArgumentError
from nkigen_cp.frontend import trace, unflatten
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.ir.nki.verify import verify_kernel
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.interpret import interpret as interpret_graph
from nkigen_cp.ir.tensor.interpret import interpret_ranks as interpret_graph_ranks
from nkigen_cp.ir.tensor.promotion import NARROWED
from nkigen_cp.ir.tensor.verify import verify_graph
from nkigen_cp.lowering.lower import lower_plan
from nkigen_cp.plan import Plan
from nkigen_cp.schedule import clock
from nkigen_cp.simulate import compare, watching
from nkigen_cp.simulate.ranks import run_ranks
from nkigen_cp.simulate.run import run
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.plan.pins import AnyPin
from nkigen_cp.solver.search import BUDGET, ProgressFn
from nkigen_cp.solver.solve import solve_graph
from nkigen_cp.targets import TRN2, Target

Array = NDArray[Any]


def solve(  # noqa: PLR0913
    graph: Graph,
    target: Target = TRN2,
    *,
    effort: str = "balanced",
    seed: int = 0,
    workers: int = 2,
    hint: Plan | None = None,
    matmul_precision: str = "exact",
    assume_masked: bool = True,
    pins: Sequence[AnyPin] = (),
    on_progress: ProgressFn | None = None,
) -> Plan:
    """Decide layouts, tiles, residency, instructions, engines and order of a whole graph.

    Pure: the same graph, target and options give the same plan, byte for byte, as long as
    ``plan.deterministic`` holds. ``effort`` ("fast", "balanced", "max") sets a deterministic
    budget; Ctrl-C returns the best plan so far. ``hint`` is an earlier plan to start from.
    ``assume_masked`` lets attention skip blocks that lie wholly under a causal mask. ``pins`` are
    demands that the plan has to meet (``cp.pin``, ``cp.fuse``).

    Raises:
        GraphError: the graph breaks its own rules. Infeasible: nothing fits the target.
        ArgumentError: an option is out of range.
    """
    if not isinstance(graph, Graph):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(f"solve takes a Graph (cp.trace makes one), got {type(graph).__name__}")
    if effort not in BUDGET:
        raise ArgumentError(f"effort={effort!r} is not one of {', '.join(BUDGET)}")
    if workers < 1:
        raise ArgumentError(f"workers={workers} must be at least 1")
    verify_graph(graph)
    options = Options(
        effort=effort,
        seed=seed,
        workers=workers,
        matmul_precision=matmul_precision,
        assume_masked=assume_masked,
        pins=tuple(pins),
    )
    solved = solve_graph(
        graph,
        target,
        options,
        hint=hint.data if hint else None,
        on_progress=on_progress,
        clock=clock(target),
    )
    return Plan(data=solved, graph=graph, target=target)


def lower(plan: Plan) -> Kernel:
    """Carry a plan out as NKI IR, verified against every documented rule."""
    kernel = replace(lower_plan(plan.program, plan.data), graph=plan.graph, target=plan.target)
    verify_kernel(kernel, plan.target)
    return kernel


def interpret(graph: Graph, *args: Any, precision: str = "float64", **kwargs: Any) -> Any:
    """What the program means, on numpy; returns what the function returns, writes what it writes.

    Everything is float64, or rounded op by op to the graph's dtypes (``precision="graph"``).
    """
    if precision not in ("float64", "graph"):
        raise ArgumentError(f"precision={precision!r} is neither 'float64' nor 'graph'")
    arrays = _flat(graph, args, kwargs)
    done = interpret_graph(graph, arrays, precision=precision)
    _write_back(graph, arrays, done.mutated)
    return _rebuilt(graph, done.outputs)


def interpret_ranks(
    graph: Graph, ranks: Sequence[Sequence[Any]], *, precision: str = "float64"
) -> list[Any]:
    """What the program means on several ranks, with the function's arguments for each of them."""
    if precision not in ("float64", "graph"):
        raise ArgumentError(f"precision={precision!r} is neither 'float64' nor 'graph'")
    arrays = [_flat(graph, tuple(args), {}) for args in ranks]
    found: list[Any] = []
    for own, done in zip(
        arrays, interpret_graph_ranks(graph, arrays, precision=precision), strict=True
    ):
        _write_back(graph, own, done.mutated)
        found.append(_rebuilt(graph, done.outputs))
    return found


def simulate(kernel: Kernel, *args: Any, watch: Sequence[str] = (), **kwargs: Any) -> Any:
    """Run the kernel on the CPU in the hardware's precisions.

    Takes and returns what the function does, and writes into the arrays that it writes to.
    With ``watch=[names]`` returns (result, {name: value in the user's shape}).

    Raises:
        SimulationError: the kernel reads what was never written, or exceeds a memory.
        ArgumentError: the arguments do not fit the traced ones, or a watched name is unknown.
    """
    graph = _graph(kernel)
    arrays = _flat(graph, args, kwargs)
    given = compare.given(graph, _narrow(graph, arrays))
    done = run(kernel, given, _target(kernel), watch=watch)
    results = compare.results(graph, done)
    returned = len(graph.output_names)
    _write_back(graph, arrays, results[returned:])
    result = _rebuilt(graph, results[:returned])
    return (result, watching.values(kernel, done, watch)) if watch else result


def simulate_ranks(kernel: Kernel, ranks: Sequence[Sequence[Any]]) -> list[Any]:
    """Run the kernel on several ranks that exchange data where it says so.

    ``ranks`` has the function's positional arguments for every rank. Returns one result per rank,
    each as ``simulate`` does, and writes into the arrays that the function writes to.

    Raises:
        SimulationError: as ``simulate``.
        ArgumentError: as ``simulate``, or the kernel is for another number of ranks.
    """
    graph = _graph(kernel)
    arrays = [_flat(graph, tuple(args), {}) for args in ranks]
    given = [compare.given(graph, _narrow(graph, a)) for a in arrays]
    found: list[Any] = []
    for own, done in zip(arrays, run_ranks(kernel, given, _target(kernel)), strict=True):
        results = compare.results(graph, done)
        returned = len(graph.output_names)
        _write_back(graph, own, results[returned:])
        found.append(_rebuilt(graph, results[:returned]))
    return found


def first_difference(
    kernel: Kernel, *args: Any, tolerance: float | None = None, **kwargs: Any
) -> compare.Difference | None:
    """The first tensor, in execution order, that leaves the float64 reference; None if none does.

    ``tolerance`` bounds max |got - want| / rms(want); by default it is a few times the error that
    the reference makes when every op rounds to its graph dtype.
    """
    graph = _graph(kernel)
    return compare.first_difference(
        kernel, _narrow(graph, _flat(graph, args, kwargs)), _target(kernel), tolerance=tolerance
    )


def compile(fn: Callable[..., Any], *specs: Any, target: Target = TRN2, **options: Any) -> Compiled:
    """Trace, solve and lower in one go; ``options`` are those of ``solve``."""
    graph = trace(fn, *specs)
    plan = solve(graph, target, **options)
    return Compiled(graph, plan, lower(plan))


class Compiled:
    """``compile``'s result: callable on numpy arrays, with every stage at hand."""

    def __init__(self, graph: Graph, plan: Plan, kernel: Kernel) -> None:
        self.graph = graph
        self.plan = plan
        self.kernel = kernel

    @property
    def source(self) -> str:
        """The kernel as NKI source."""
        return emit_nki(self.kernel)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on the CPU simulator."""
        return simulate(self.kernel, *args, **kwargs)


def _graph(kernel: Kernel) -> Graph:
    if kernel.graph is None:
        raise ArgumentError(f"kernel {kernel.name!r} was not made by cp.lower; it has no graph")
    return kernel.graph


def _target(kernel: Kernel) -> Target:
    if kernel.target is None:
        raise ArgumentError(f"kernel {kernel.name!r} was not made by cp.lower; it has no target")
    return kernel.target


def _flat(graph: Graph, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
    """The call's arrays in input order; a graph from a file takes them flat."""
    if graph.arguments is not None:
        return [np.asarray(a) for a in graph.arguments.flatten(args, kwargs)]
    if kwargs or len(args) != len(graph.inputs):
        raise ArgumentError(
            f"{graph.name} takes {len(graph.inputs)} arrays in the order "
            f"{', '.join(graph.input_names)}; got {len(args)} and {len(kwargs)} by keyword"
        )
    return [np.asarray(a) for a in args]


def _narrow(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """Arrays of the 64-bit types that an input was traced with, in the 32-bit type it became."""
    wide: tuple[int, ...] = () if graph.arguments is None else graph.arguments.wide
    found = [*arrays]
    for position in wide:
        array: Any = arrays[position]
        tensor = graph.inputs[position]
        if NARROWED.get(array.dtype.name) != tensor.dtype.name:
            continue
        found[position] = array.astype(tensor.dtype.numpy)
        if not tensor.dtype.is_float and not np.array_equal(found[position], array):
            raise ArgumentError(
                f"argument {tensor.name!r} has values outside {tensor.dtype}'s range, and the "
                "device has no 64-bit types"
            )
    return found


def _write_back(graph: Graph, arrays: Sequence[Array], values: Sequence[Array]) -> None:
    """Give the caller's arrays the new values of mutated inputs."""
    for name, value in zip(graph.mutated, values, strict=True):
        array = arrays[graph.input_names.index(name)]
        if not array.flags.writeable:
            raise ArgumentError(
                f"argument {name!r} is a read-only array, but {graph.name} writes to it; "
                "give a copy"
            )
        array[...] = np.reshape(value, array.shape)


def _rebuilt(graph: Graph, outputs: Sequence[Array]) -> Any:
    shaped: list[Any] = [
        np.reshape(o, t.shape) for o, t in zip(outputs, graph.outputs, strict=True)
    ]
    if graph.result is not None:
        return unflatten(graph.result, shaped)
    return shaped[0] if len(shaped) == 1 else tuple(shaped)
