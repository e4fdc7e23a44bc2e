"""The plan's engine times are those of the instructions it becomes: one cost function, no drift."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.cost import instruction_cost_ns
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.workloads import WORKLOADS
from tests.lowering.kernels import (
    KINDS,
    Program,
    biased,
    executed,
    heads,
    kind,
    lowered,
    masked,
    matmul,
    ordered,
    ridge,
    softmax,
    tops,
    transposed,
    weights,
)

NAMED = (
    "rmsnorm",
    "layernorm",
    "softmax",
    "rope",
    "swiglu_act",
    "matmul_gup",
    "feedforward",
    "attention_block_s128_bf16",
    "transpose_128x128",
    "transpose_1024x1024",
    "transpose_kT_1_16_128_128",
    "transpose_headsplit_1_128_16_128",
    "transpose_3d_rev",
    "transpose_2_100_8_64",
    "transpose_qwenvl_1152_3_2_16_16",
    "slice_last_half",
    "argmax_128x1024",
    "topk8_128",
    "topk1_vocab_1x37984",
    "reshape_96_100_to_75_128",
)

UNEVEN: list[tuple[Program, str]] = [
    ((fn, shapes), dtype)
    for fn, shapes in (
        (matmul, ((129, 257), (257, 600))),
        (transposed, ((129, 257),)),
        (softmax, ((257, 129),)),
        (biased, ((257, 700), (700,))),
        (masked, ((257, 129),)),
        (tops, ((200, 100), (100, 1000))),
        (heads, ((200, 100), (100, 400))),
        (ridge, ((200, 100), (100, 400))),
        (weights, ((200, 100), (100, 400))),
        (ordered, ((257, 129),)),
        (ordered, ((3, 5, 6),)),
    )
    for dtype in ("float32", "bfloat16")
] + [((matmul, ((130, 400), (400, 602))), "float8_e4m3")]


def _assert_consistent(plan: cp.Plan, kernel: Kernel) -> None:
    """Per engine within 1 % and 1 ns per instruction."""
    executed_ns: dict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    for instruction, times in executed(kernel.body):
        cost = instruction_cost_ns(plan.target, instruction, kernel.buffers)
        executed_ns[instruction.engine] += times * cost
        count[instruction.engine] += times
    engines = sorted({*plan.data.busy_ns, *executed_ns})
    wrong = {
        e: (plan.data.busy_ns.get(e, 0), round(executed_ns[e]))
        for e in engines
        if abs(executed_ns[e] - plan.data.busy_ns.get(e, 0))
        > 0.01 * plan.data.busy_ns.get(e, 0) + count[e]
    }
    assert not wrong, f"(planned ns, executed ns) per engine: {wrong}"


@pytest.mark.parametrize("name", NAMED)
def test_workloads_cost_what_the_plan_says(name: str) -> None:
    workload = WORKLOADS[name]
    graph = cp.trace(workload.function, *workload.make_inputs(0), **dict(workload.static))
    precision = "bf16" if name.endswith("bf16") else "exact"
    plan = cp.solve(graph, effort="fast", matmul_precision=precision)
    _assert_consistent(plan, cp.lower(plan))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_step_costs_what_the_plan_says(name: str) -> None:
    made = kind(name)
    _assert_consistent(made.plan, made.kernel)


def _uneven_name(case: tuple[Program, str]) -> str:
    (fn, shapes), dtype = case
    return f"{fn.__name__}-{shapes}-{dtype}"


@pytest.mark.parametrize("case", UNEVEN, ids=_uneven_name)
def test_remainders_cost_what_the_plan_says(case: tuple[Program, str]) -> None:
    (fn, shapes), dtype = case
    made = lowered(fn, *shapes, dtype=dtype)
    _assert_consistent(made.plan, made.kernel)
