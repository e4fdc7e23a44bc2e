"""The loops that are proposed for programs that do not fit, or that fit badly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.factor.accumulate import split_from
from nkigen_cp.ir.factor.program import Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite import causal
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.plan.affine import joined
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure.follow import parts
from nkigen_cp.solver.structure.grow import kept, proposals
from nkigen_cp.solver.structure.loops import grown_at
from nkigen_cp.solver.structure.together import together
from nkigen_cp.solver.structure.tried import Proposal, Search, proposal
from nkigen_cp.solver.structure.values import Structure
from nkigen_cp.solver.structure.waiting import unlooped_in
from nkigen_cp.targets import TRN2
from nkigen_cp.targets.target import Target
from nkigen_cp.workloads.qwen3 import rmsnorm
from nkigen_cp.workloads.small import matmul, sdpa, sdpa_causal

Spec = tuple[tuple[int, ...], str]


def proposed(function: Any, specs: list[Spec], target: Target = TRN2) -> list[Proposal]:
    graph = cp.trace(function, *[cp.spec(shape, dtype) for shape, dtype in specs])
    return proposals(canonical(graph, Options(matmul_precision="bf16")), target)


def smaller(kib: int) -> Target:
    return replace(TRN2, sbuf_partition_bytes=kib << 10)


def trips_around(program: Program, op: str) -> list[int]:
    return [program.loops[k].trips for k in program.ops[op].path]


def test_heads_are_outside_and_blocks_of_queries_inside() -> None:
    heads, tokens = 16, 2048
    found = proposed(sdpa, [((1, heads, tokens, 128), "bfloat16")] * 3)
    outer, inner, *_ = trips_around(found[0].program, "contract_1")
    assert outer == heads
    assert 128 <= tokens // inner <= 512


def test_a_table_of_which_rows_are_picked_needs_no_loops() -> None:
    def mixed(x: Any, weights: Any, chosen: Any) -> Any:
        return x @ weights[chosen]

    weights = ((128, 2048, 512), "bfloat16")  # 2 MB per partition
    found = proposed(mixed, [((2, 1, 2048), "bfloat16"), weights, ((2,), "int32")])
    assert not found[0].program.loops


def test_windows_of_a_causal_attention_are_parts_of_a_loop_over_all() -> None:
    graph = cp.trace(sdpa_causal, *[cp.spec((1, 2, 512, 64), "bfloat16")] * 3)
    program = refine(canonical(graph, Options(matmul_precision="bf16")))
    assert len(program.pieces) == 2  # windows of the result with rows of their own in HBM
    found = parts(program, list(program.ops))
    ends = [[program.ops[o].output.tensor for o in part][-1] for part in found]
    assert sorted(ends) == sorted(program.pieces)
    assert parts(program, found[0]) == [found[0]]


def test_what_fits_needs_no_loops() -> None:
    found = proposed(matmul, [((256, 256), "bfloat16")] * 2)
    assert not found[0].structure.loops


def block(x: Any, w: Any, v: Any) -> Any:
    """Normed rows through two weights, and the rows again."""
    hidden = rmsnorm(x, np.ones(x.shape[1], np.float32)) @ w
    return (np.tanh(hidden) @ v + x).astype(x.dtype)


@pytest.mark.parametrize("kib", [16, 24, 28])
def test_no_row_crosses_hbm_again_where_a_loop_over_rows_avoids_it(kib: int) -> None:
    sizes: list[Spec] = [((1024, 512), "bfloat16"), ((512, 512), "bfloat16")]
    rows, weight = (2 * a * b for (a, b), _ in sizes)
    best = proposed(block, [*sizes, sizes[1]], smaller(kib))[0]
    assert best.structure.loops
    assert best.coarse.dma_ns * TRN2.hbm_bytes_per_ns <= 1.01 * (2 * rows + 2 * weight)


def test_further_loops_go_around_the_ops_of_a_sum_over_a_loop() -> None:
    found = proposed(matmul, [((1024, 4096), "float32"), ((4096, 1024), "float32")], smaller(24))
    sums = [p for p in found if p.program.carried]
    assert any(len(p.structure.loops) >= 2 for p in sums)
    for p in sums:
        origins = {split_from(p.program, n) for n in p.program.ops} - {None}
        looped = {o for k in p.structure.loops for o in k.digits}
        assert looped <= origins


def _two_products(x: Any, w: Any, v: Any) -> Any:
    return np.exp(np.exp(x) @ w) @ v


def _two_products_search() -> Search:
    graph = cp.trace(_two_products, *(cp.spec((512, 512), "bfloat16") for _ in range(3)))
    return Search(canonical(graph, Options()), TRN2)


def test_work_outside_of_loops_is_listed_from_one_contraction_to_the_next() -> None:
    found = proposal(_two_products_search(), Structure())
    assert found is not None
    ops = found.program.ops.values()
    kinds = [
        [next(o.kind for o in ops if o.output.tensor == t) for t in names]
        for _, names in (unlooped_in(found.program, TRN2))
    ]
    assert kinds == [["exp"], ["contract", "exp"], ["contract"]]
    wasted = [ns for ns, _ in unlooped_in(found.program, TRN2)]
    assert wasted[0] == wasted[1] > wasted[2] == 0


def test_a_block_of_one_set_of_partitions_is_not_cut_again() -> None:
    job = _two_products_search()
    job.program(Structure())
    whole = proposal(job, Structure())
    blocks = proposal(job, Structure(cuts=(job.cut("x", 0, 128),)))
    assert whole is not None
    assert blocks is not None
    for found in (whole, blocks):
        grown = list(grown_at(job, found, ["x"], (128, 256)))
        assert grown
        assert all(c.inner >= TRN2.partitions for s in grown for c in s.cuts)


def _twice(x: Any) -> Any:
    return np.exp(np.exp(x) * 2)


@pytest.mark.parametrize("pressed", [False, True])
def test_only_where_nothing_fits_a_loop_goes_between_others(pressed: bool) -> None:
    graph = cp.trace(_twice, cp.spec((4, 3, 256, 64), "float32"))
    job = Search(canonical(graph, Options()), TRN2, pressed=pressed)
    digits = {o: [d.name for d in op.digits] for o, op in job.factored[()].ops.items()}
    outer = Loop(name="L0", trips=4, digits={o: names[0] for o, names in digits.items()})
    inner = Loop(name="L1", trips=256, digits={o: names[2] for o, names in digits.items()})
    found = proposal(job, Structure(loops=(outer, inner)))
    assert found is not None
    (op, *_), (tensor, *_) = found.program.ops, found.program.inputs
    grown = [job.program(s) for s in grown_at(job, found, [tensor], (128,))]
    trips = [trips_around(p, op) for p in grown if p is not None]
    assert [4, 256, 3] in trips
    assert [3, 4, 256] in trips
    assert ([4, 3, 256] in trips) is pressed


def test_where_nothing_fits_those_nearest_to_it_are_kept_too() -> None:
    """Loops seem to cost more than the little that is missing."""
    job = _two_products_search()
    fits = proposal(job, Structure())
    assert fits is not None
    coarse = fits.coarse
    cheap = [
        replace(fits, coarse=replace(coarse, missing_bytes=n, waiting_ns=coarse.waiting_ns - 1e6))
        for n in range(1, 50)
    ]
    assert fits not in kept(job, [*cheap, fits])
    assert fits in kept(replace(job, pressed=True), [*cheap, fits])


def test_proposals_are_the_same_every_time() -> None:
    specs: list[Spec] = [((1, 4, 1024, 128), "bfloat16")] * 3
    one, two = (proposed(sdpa, specs, smaller(32)) for _ in range(2))
    assert [p.structure for p in one] == [p.structure for p in two]


def test_steps_of_a_pattern_that_count_on_are_joined() -> None:
    cut = [(-256, 2), (-128, 2), (256, 2), (128, 2), (1, 128)]
    assert joined(cut) == ((-128, 4), (1, 512))
    assert joined([(2, 8), (1, 4)]) == ((2, 8), (1, 4))


def test_windows_side_by_side_share_a_loop_where_the_mask_crowds_sbuf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(causal, "MOST_OPS", 0)  # four windows: the mask of one is large
    found = proposed(sdpa_causal, [((1, 2, 2048, 64), "bfloat16")] * 3, smaller(15))
    assert all(p.pressed for p in found)
    for p, copies in zip(found[:2], (2, 1), strict=True):
        heads, rows = p.structure.loops
        assert (heads.trips, rows.trips, rows.copies) == (2, 4, copies)
        looped = [o for o in p.program.ops.values() if o.path]
        assert all(o.path == (heads.name, rows.name) for o in looped)
        made = [o.output.tensor for o in looped if o.output.tensor in p.program.pieces]
        assert sorted(made) == sorted(p.program.pieces)  # all windows of the result
    apart = found[2].structure.loops[1:]
    assert len(apart) > 1
    assert together(Search(found[0].program.graph, smaller(15), pressed=True), found[:1]) == []
