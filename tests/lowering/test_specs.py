"""Every kind of step as the instructions and loops it becomes."""

from __future__ import annotations

import typing

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Affine, Alloc, Instruction, Loop, Memory, walk
from nkigen_cp.solver.plan import Contract, Elementwise, Spec, Stream
from tests.lowering.kernels import (
    KINDS,
    Lowered,
    by_kind,
    instructions,
    kind,
    loops,
    lowered,
    lowered_without_loops,
    matmul,
    views,
)


def _memories(made: Lowered, instruction: Instruction) -> dict[str, Memory]:
    buffers = made.kernel.buffers
    return {n: buffers[v.buffer].memory for n, v in views(instruction).items()}


def _error(made: Lowered) -> float:
    got = np.asarray(cp.simulate(made.kernel, *made.arrays), np.float64)
    return float(np.abs(got - made.want).max())


def test_there_is_a_program_for_every_spec() -> None:
    assert sorted(KINDS) == sorted(s.__name__ for s in typing.get_args(Spec))


@pytest.mark.parametrize("name", KINDS)
def test_the_plan_has_such_a_step_and_computes_what_numpy_does(name: str) -> None:
    made = kind(name)
    assert name in {type(s.spec).__name__ for s in made.plan.steps}
    assert _error(made) < 1e-3


def test_loads_and_stores_are_one_dma_each() -> None:
    made = kind("Load")
    load, store = instructions(made.kernel, "dma_copy")
    assert _memories(made, load) == {"dst": Memory.SBUF, "src": Memory.INPUT}
    assert _memories(made, store) == {"dst": Memory.OUTPUT, "src": Memory.SBUF}
    assert loops(made.kernel) == []


def test_an_elementwise_cover_is_one_instruction_over_the_whole_box() -> None:
    made = kind("Elementwise")
    (activation,) = instructions(made.kernel, "activation")
    assert activation.args["op"] == "exp"
    assert views(activation)["dst"].result_shape == (128, 64)


def test_matmuls_accumulate_in_one_psum_tile_and_reset_it_first() -> None:
    made = kind("Contract")
    spec = next(s.spec for s in made.plan.steps if isinstance(s.spec, Contract))
    (inner,) = [x for x in loops(made.kernel) if any(_is(s, "nc_matmul") for s in x.body)]
    matmul = next(s for s in inner.body if isinstance(s, Instruction))
    assert _memories(made, matmul)["dst"] is Memory.PSUM
    assert made.kernel.buffers[views(matmul)["dst"].buffer].dtype.name == "float32"
    condition = matmul.args["accumulate"]
    assert isinstance(condition, Affine)
    assert [condition.value({inner.var: i}) > 0 for i in range(2)] == [False, True]
    assert not any(
        t.var == inner.var for v in [views(matmul)["dst"]] for t in v.index[1].start.terms
    )
    assert spec.k_run.partitions == 128


def _is(statement: object, name: str) -> bool:
    return isinstance(statement, Instruction) and statement.kind == name


def test_psum_tiles_are_fresh_in_every_turn() -> None:
    made = lowered(matmul, (128, 128), (128, 2048))
    (outer,) = loops(made.kernel)
    allocated = [s.buffer for s in outer.body if isinstance(s, Alloc)]
    assert [b.memory for b in allocated] == [Memory.PSUM]
    assert allocated[0].copies == 4
    assert allocated[0].partition_bytes <= 2048
    assert by_kind(made.kernel)["nc_matmul"] == 4


def test_streamed_operands_are_loaded_inside_the_loop() -> None:
    made = lowered_without_loops(matmul, (128, 2048), (2048, 4096))
    stream = _stream(made)
    outer = next(x for x in loops(made.kernel) if any(_is(s, "dma_copy") for s in x.body))
    load = next(s for s in outer.body if isinstance(s, Instruction))
    tile = made.kernel.buffers[views(load)["dst"].buffer]
    assert (tile.tensor, tile.copies) == ("b", stream.copies)
    assert outer.upper.value({}) == 4096 // stream.block
    assert any(isinstance(s, Alloc) and s.buffer == tile for s in outer.body)


def _stream(made: Lowered) -> Stream:
    specs = [s.spec for s in made.plan.steps if isinstance(s.spec, Contract)]
    return next(s.stream for s in specs if s.stream)


@pytest.mark.parametrize("columns", [1000, 1024, 1027])
def test_the_last_block_of_a_stream_may_be_shorter(columns: int) -> None:
    made = lowered_without_loops(matmul, (100, 257), (257, columns), sbuf=11_000)
    assert made.plan.residency["b"] == "streamed"
    assert (columns % _stream(made).block == 0) == (columns == 1024)
    assert _error(made) < 1e-3


def test_transposes_go_through_psum_and_share_evictions() -> None:
    made = kind("Transpose")
    (transpose,) = instructions(made.kernel, "nc_transpose")
    assert _memories(made, transpose) == {"dst": Memory.PSUM, "data": Memory.SBUF}
    counts = by_kind(made.kernel)
    assert counts["nc_transpose"] == 4
    assert counts["tensor_copy"] < counts["nc_transpose"]


def test_replication_is_a_matmul_with_ones() -> None:
    made = kind("Replicate")
    (ones,) = [i for i in instructions(made.kernel, "memset") if i.args["value"] == 1.0]
    (product,) = instructions(made.kernel, "nc_matmul")
    assert views(product)["stationary"].buffer == views(ones)["dst"].buffer
    assert views(product)["moving"].partitions == 1
    assert views(product)["dst"].partitions == 128


def test_free_factors_change_places_by_copies_within_the_partitions() -> None:
    made = kind("Reorder")
    assert "nc_transpose" not in by_kind(made.kernel)
    chunks, rest = instructions(made.kernel, "tensor_copy")
    for copy, partitions in ((chunks, 128), (rest, 16)):
        assert _memories(made, copy) == {"dst": Memory.SBUF, "src": Memory.SBUF}
        assert {v.partitions for v in views(copy).values()} == {partitions}
        assert {v.free_size for v in views(copy).values()} == {3 * 20 * 16}
    assert by_kind(made.kernel)["tensor_copy"] == 4


def test_a_mask_is_made_without_any_dma() -> None:
    made = kind("Generate")
    assert by_kind(made.kernel)["affine_select"] == 1
    loaded = [views(i)["src"].buffer for i in instructions(made.kernel, "dma_copy")]
    assert loaded[0] == "x"
    assert len(loaded) == 2  # x in, the result out


def test_an_opaque_reshape_copies_inside_hbm() -> None:
    made = kind("Reinterpret")
    (copy,) = instructions(made.kernel)
    assert _memories(made, copy) == {"dst": Memory.OUTPUT, "src": Memory.INPUT}


def test_looped_covers_run_once_per_position() -> None:
    def rows(x: np.ndarray[typing.Any, typing.Any]) -> typing.Any:
        return np.exp(x) * np.max(x, axis=-1, keepdims=True)

    made = lowered(rows, (512, 64))
    spec = next(s.spec for s in made.plan.steps if isinstance(s.spec, Elementwise) and s.spec.loops)
    name = spec.cover.instruction
    assert by_kind(made.kernel)[name] >= 4
    assert sum(1 for s in walk(made.kernel.body) if isinstance(s, Loop)) >= 1
    assert _error(made) < 1e-3
