"""Which views become accesses, which stay ops, and into which factors dims split."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkigen_cp.ir.factor.program import FactorIndex, Program
from tests.ir.factor.evaluate import agrees, factored


def _factors(program: Program, tensor: str) -> list[tuple[str, int]]:
    return [(f.name, f.size) for f in program.tensors[tensor].factors]


def _kinds(program: Program) -> list[str]:
    return [o.kind for o in program.ops.values()]


def test_a_nested_reshape_is_a_renaming_of_factors() -> None:
    def fn(x: Any) -> Any:
        return np.exp(np.reshape(x, (128, 16, 64)))

    program = factored(fn, (128, 1024))
    (op,) = program.ops.values()
    assert op.kind == "exp"
    assert _factors(program, "x") == [("d0", 128), ("d1.0", 16), ("d1.1", 64)]
    assert op.accesses[0].digits == op.output.digits
    assert agrees(fn, (128, 1024))


def test_head_split_and_transpose_move_nothing() -> None:
    def fn(x: Any) -> Any:
        heads = np.reshape(x, (128, 16, 64))
        return np.exp(np.transpose(heads, (1, 0, 2)))

    program = factored(fn, (128, 1024))
    (op,) = program.ops.values()
    read, written = op.accesses[0].digits, op.output.digits
    assert sorted(read) == sorted(written)
    assert read == (written[1], written[0], written[2])
    assert agrees(fn, (128, 1024))


def test_merging_back_needs_the_same_factors() -> None:
    def fn(x: Any) -> Any:
        heads = np.transpose(np.reshape(x, (8, 4, 16)), (1, 0, 2))
        merged = np.reshape(np.transpose(np.tanh(heads), (1, 0, 2)), (8, 64))
        return merged + x

    program = factored(fn, (8, 64))
    assert sorted(_kinds(program)) == ["add", "tanh"]
    assert agrees(fn, (8, 64))


def test_dims_of_size_one_have_no_factor() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, np.newaxis, :])

    program = factored(fn, (4, 8))
    assert _factors(program, "x") == [("d0", 4), ("d1", 8)]
    assert len(program.tensors[program.outputs[0]].factors) == 2


def test_a_slice_is_a_window() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, 32:112])

    program = factored(fn, (16, 128))
    (op,) = program.ops.values()
    assert op.accesses[0].index[1] == FactorIndex(digit=op.output.digits[1], offset=32)
    assert agrees(fn, (16, 128))


def test_a_strided_slice_is_a_step() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, 1::2])

    program = factored(fn, (4, 16))
    (op,) = program.ops.values()
    index = op.accesses[0].index[1]
    assert (index.offset, index.step) == (1, 2)
    assert agrees(fn, (4, 16))


def test_an_integer_index_addresses_one_position() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, 3]) + x[:, 5]

    program = factored(fn, (4, 16))
    op, _ = program.ops.values()
    assert op.accesses[0].index[1] == FactorIndex(digit=None, offset=3)
    assert agrees(fn, (4, 16))


def test_aligned_slices_of_a_split_dim_keep_their_heads() -> None:
    """q, k and v out of one projection: windows that start on head boundaries."""

    def fn(x: Any) -> Any:
        q, k = np.split(x, [64], axis=-1)
        return np.exp(np.reshape(q, (8, 4, 16))), np.exp(np.reshape(k, (8, 2, 16)))

    program = factored(fn, (8, 96))
    assert _kinds(program) == ["exp", "exp"]
    offsets = [i.offset for o in program.ops.values() for i in o.accesses[0].index]
    assert any(offsets)
    assert agrees(fn, (8, 96))


def test_concatenation_writes_through() -> None:
    def fn(x: Any) -> Any:
        return np.concatenate([np.exp(x), np.tanh(x)], axis=1)

    program = factored(fn, (8, 32))
    assert _kinds(program) == ["exp", "tanh"]
    targets = [o.output for o in program.ops.values()]
    assert {t.tensor for t in targets} == {program.outputs[0]}
    assert [t.index[1].offset for t in targets] == [0, 32]
    assert agrees(fn, (8, 32))


def test_a_piece_with_another_home_is_copied_into_the_window() -> None:
    def fn(x: Any, y: Any) -> Any:
        return np.tanh(np.concatenate([np.exp(x), y], axis=1))

    program = factored(fn, (8, 32), (8, 16))
    assert sorted(_kinds(program)) == ["copy", "exp", "tanh"]
    assert agrees(fn, (8, 32), (8, 16))


def test_an_output_is_put_together_either_by_its_producers_or_by_stores() -> None:
    def fn(x: Any, y: Any) -> Any:
        return np.concatenate([np.exp(x), y], axis=1)

    program = factored(fn, (8, 32), (8, 16))
    assert sorted(_kinds(program)) == ["copy", "copy", "exp"]
    assert agrees(fn, (8, 32), (8, 16))


def test_a_piece_made_out_of_another_piece_does_not_wait_for_itself() -> None:
    def fn(x: Any) -> Any:
        first = np.exp(x)
        return np.tanh(np.concatenate([first, first * 2.0], axis=1))

    program = factored(fn, (8, 32))
    assert _kinds(program).count("copy") == 1
    assert agrees(fn, (8, 32))


def test_conflicting_reshapes_become_opaque() -> None:
    """12 = 3 x 4 and 4 x 3 have no common refinement."""

    def fn(x: Any) -> Any:
        a = np.exp(np.reshape(x, (8, 3, 4)))
        b = np.exp(np.reshape(x, (8, 4, 3)))
        return a, b

    program = factored(fn, (8, 12))
    assert sorted(_kinds(program)) == ["exp", "exp", "reshape"]
    assert agrees(fn, (8, 12))


def test_a_reshape_that_does_not_nest_is_opaque() -> None:
    def fn(x: Any) -> Any:
        return np.exp(np.reshape(x, (75, 128)))

    assert sorted(_kinds(factored(fn, (96, 100)))) == ["exp", "reshape"]
    assert agrees(fn, (96, 100))


def test_a_slice_across_factor_boundaries_is_opaque() -> None:
    """Columns 3..11 of 16 = 4 x 4 start inside a factor of another reader."""

    def fn(x: Any) -> Any:
        return np.exp(x[:, 3:11]), np.exp(np.reshape(x, (8, 4, 4)))

    assert sorted(_kinds(factored(fn, (8, 16)))) == ["exp", "exp", "reshape"]
    assert agrees(fn, (8, 16))


def test_repeated_heads_are_read_by_group() -> None:
    """Grouped-query attention: every key head serves two query heads, and nothing is copied."""

    def fn(q: Any, k: Any) -> Any:
        return np.exp(q) * np.repeat(k, 2, axis=1)

    program = factored(fn, (8, 4, 16), (8, 2, 16))
    assert _kinds(program) == ["exp", "multiply"]
    op = next(o for o in program.ops.values() if o.kind == "multiply")
    key = next(a for a in op.accesses if a.tensor == "k")
    assert len(key.digits) == len(op.output.digits) - 1
    assert agrees(fn, (8, 4, 16), (8, 2, 16))


def test_broadcast_operands_are_indexed_by_fewer_digits() -> None:
    def fn(x: Any, row: Any) -> Any:
        return x + np.broadcast_to(row, (8, 16))

    program = factored(fn, (8, 16), (16,))
    (op,) = program.ops.values()
    assert next(a for a in op.accesses if a.tensor == "row").digits == op.output.digits[1:]
    assert agrees(fn, (8, 16), (16,))


def test_a_tensor_used_twice_keeps_distinct_factor_names() -> None:
    def fn(x: Any) -> Any:
        return x @ x.T

    program = factored(fn, (16, 8))
    for tensor in program.tensors.values():
        names = [f.name for f in tensor.factors]
        assert len(set(names)) == len(names)
    assert agrees(fn, (16, 8))


def test_views_that_nobody_reads_vanish() -> None:
    def fn(x: Any) -> Any:
        np.exp(np.transpose(x))
        return np.tanh(x)

    assert _kinds(factored(fn, (4, 8))) == ["tanh"]


def test_a_view_of_an_output_is_still_written() -> None:
    def fn(x: Any) -> Any:
        y = np.exp(x)
        return y, np.transpose(y)

    program = factored(fn, (4, 8))
    assert len(program.outputs) == 2
    assert agrees(fn, (4, 8))


def test_the_only_window_of_an_input_is_a_tensor_of_its_own() -> None:
    def fn(x: Any) -> Any:
        return np.exp(x[:, 32:96])

    program = factored(fn, (16, 128))
    (op,) = program.ops.values()
    assert program.windows[op.accesses[0].tensor].offsets == (0, 32)
    assert program.tensors[op.accesses[0].tensor].shape == (16, 64)
