from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import DTYPES
from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.rewrite.casts import widens
from nkigen_cp.ir.tensor.graph import Graph
from tests.ir.rewrite.sketch import Sketch, check

BF16 = np.dtype(ml_dtypes.bfloat16)


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.topological()]


def dtypes(graph: Graph) -> list[str]:
    """Dtypes of what the ops write, in order."""
    return [graph.tensors[op.outputs[0].tensor].dtype.name for op in graph.topological()]


def test_widens() -> None:
    pairs = [(a, b) for a in DTYPES for b in DTYPES if widens(DTYPES[a], DTYPES[b])]
    assert ("bfloat16", "float32") in pairs
    assert ("float8_e4m3", "bfloat16") in pairs
    assert ("float16", "bfloat16") not in pairs
    assert ("int8", "float32") not in pairs


def test_widening_is_absorbed_by_readers_and_passes_views() -> None:
    s = Sketch()
    wide = s.cast(s.input("x", (4, 6), "bfloat16"), "float32")
    part = s.slice(s.transpose(wide), 0, 2)
    before = s.graph(s.op("exp", part), s.reduce("sum", wide))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["copy", "copy", "exp", "sum"]
    copies = [op for op in after.topological() if op.kind == "copy"]
    assert [after.tensors[c.outputs[0].tensor].dtype for c in copies] == [DTYPES["bfloat16"]] * 2
    assert [c.attrs["dtype"] for c in copies] == ["bfloat16"] * 2
    check(before, after)


def test_widening_stays_for_contractions_and_outputs() -> None:
    s = Sketch()
    x, w = s.input("x", (4, 6), "bfloat16"), s.input("w", (6, 8))
    wide = s.cast(x, "float32")
    before = s.graph(s.matmul(wide, w), s.op("exp", wide))
    after = canonicalise(before)
    assert kinds(after) == ["copy", "contract", "exp"]
    exp = next(op for op in after.ops.values() if op.kind == "exp")
    assert exp.operands[0].tensor == "x"
    check(before, after)
    alone = Sketch()
    before = alone.graph(alone.cast(alone.input("x", (4,), "bfloat16"), "float32", "y"))
    assert kinds(canonicalise(before)) == ["copy"]


def test_narrowing_is_done_by_the_producer() -> None:
    s = Sketch()
    product = s.matmul(s.input("x", (4, 6)), s.input("w", (6, 8)), name="wide")
    before = s.graph(s.op("exp", s.cast(product, "bfloat16", "narrow")))
    after = canonicalise(before)
    assert kinds(after) == ["contract", "exp"]
    assert "wide" not in after.tensors
    assert after.tensors["narrow"].dtype.name == "bfloat16"
    check(before, after)


def test_narrowing_stays_where_the_wide_value_is_used() -> None:
    s = Sketch()
    wide = s.op("exp", s.input("x", (4,)))
    before = s.graph(s.cast(wide, "bfloat16", "y"), s.op("sqrt", wide))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["copy", "exp", "sqrt"]
    check(before, after)


def test_narrowing_passes_views_and_windows() -> None:
    s = Sketch()
    x = s.input("x", (4, 6))
    halves = s.concat(s.op("exp", x), s.op("sqrt", x))
    before = s.graph(s.cast(s.transpose(halves), "bfloat16", "y"))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["copy", "copy", "copy", "exp", "sqrt"]
    assert set(dtypes(after)) == {"bfloat16"}
    check(before, after)


def test_a_view_of_a_shared_tensor_rounds() -> None:
    s = Sketch()
    wide = s.op("exp", s.input("x", (4, 6)))
    before = s.graph(s.cast(s.slice(wide, 0, 2), "bfloat16", "y"), s.op("sqrt", wide))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["copy", "exp", "sqrt"]
    check(before, after)


def test_there_and_back_is_nothing() -> None:
    s = Sketch()
    there = s.cast(s.input("x", (4,), "bfloat16"), "float32")
    after = canonicalise(s.graph(s.op("exp", s.cast(there, "bfloat16"))))
    assert kinds(after) == ["exp"]


def test_casts_to_integers_convert_whole_numbers() -> None:
    s = Sketch()
    before = s.graph(s.cast(s.op("exp", s.input("x", (4,))), "int32"))
    found = kinds(canonicalise(before))
    assert (found[0], found[-1]) == ("exp", "convert")
    assert "copy" not in found


def test_constant_casts_happen_now_and_equal_constants_are_one() -> None:
    s = Sketch()
    x = s.input("x", (2, 3), "bfloat16")
    mask = np.triu(np.full((2, 3), -4.0, np.float32))
    first = s.cast(s.constant("mask", mask), "bfloat16", "narrow_mask")
    second = s.cast(s.constant("mask_again", np.array(mask)), "bfloat16")
    before = s.graph(s.op("exp", s.op("add", x, first)), s.op("add", x, second))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["add", "exp"]
    assert list(after.constants) == ["narrow_mask"]
    assert after.constants["narrow_mask"].dtype == BF16
    check(before, after)


def test_exact_contractions_widen_the_narrow_side() -> None:
    s = Sketch()
    x, w = s.input("x", (4, 6), "bfloat16"), s.input("w", (6, 8))
    before = s.graph(s.matmul(x, w), s.matmul(x, s.op("exp", w)))
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["contract", "contract", "copy", "exp"]
    assert set(dtypes(after)) == {"float32"}
    check(before, after)
    same = Sketch()
    x, w = same.input("x", (4, 6), "bfloat16"), same.input("w", (6, 8), "bfloat16")
    assert kinds(canonicalise(same.graph(same.matmul(x, w)))) == ["contract"]


def test_bf16_contractions_narrow_every_float32_operand() -> None:
    s = Sketch()
    x, w = s.input("x", (4, 6)), s.input("w", (6, 8))
    hidden = s.op("exp", x)
    before = s.graph(s.matmul(hidden, w), s.matmul(s.op("sqrt", x), w))
    after = canonicalise(before, matmul_precision="bf16")
    assert sorted(kinds(after)) == ["contract", "contract", "copy", "exp", "sqrt"]
    for op in after.ops.values():
        if op.kind == "contract":
            assert {after.tensors[o.tensor].dtype.name for o in op.operands} == {"bfloat16"}
    check(before, after)


def test_an_unknown_precision_is_refused() -> None:
    s = Sketch()
    with pytest.raises(UnsupportedError, match="'exact', 'tf32', 'bf16'"):
        canonicalise(s.graph(s.input("x", (4,))), matmul_precision="fp4")


def test_dead_and_common_ops_go_and_names_stay() -> None:
    s = Sketch()
    x = s.input("x", (4,))
    s.op("sqrt", x)
    first = s.op("exp", x, name="first")
    second = s.op("exp", x, name="second")
    before = s.graph(s.op("add", first, second, name="total"), second)
    after = canonicalise(before)
    assert kinds(after) == ["exp", "add"]
    assert set(after.tensors) == {"x", "second", "total"}
    check(before, after)


def test_mutated_inputs_keep_their_old_value() -> None:
    s = Sketch()
    cache = s.input("cache", (4,), "bfloat16")
    old = s.cast(cache, "float32")
    new = s.op("exp", cache, name="new_cache")
    before = s.graph(s.op("sqrt", old), mutated={"cache": new})
    after = canonicalise(before)
    assert sorted(kinds(after)) == ["copy", "exp", "sqrt"]
    assert after.mutated == {"cache": "new_cache"}


def test_the_same_graph_gives_the_same_result() -> None:
    s = Sketch()
    x, w = s.input("x", (4, 6), "bfloat16"), s.input("w", (6, 8), "bfloat16")
    y = s.op("divide", s.matmul(x, w), s.op("sqrt", s.reduce("mean", x)))
    before = s.graph(s.cast(y, "bfloat16"))
    first, second = canonicalise(before), canonicalise(before)
    assert list(first.ops.items()) == list(second.ops.items())
    assert list(first.tensors.items()) == list(second.tensors.items())
    again = canonicalise(first)
    assert list(again.ops.items()) == list(first.ops.items())
