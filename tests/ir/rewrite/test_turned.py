from __future__ import annotations

import pytest

from nkigen_cp.ir.rewrite import canonicalise
from nkigen_cp.ir.tensor.graph import Graph
from tests.ir.rewrite.sketch import Sketch, check


def products(left: tuple[int, int], right: tuple[int, int], element: str) -> Graph:
    """The canonical product of two inputs, shown to equal what was written."""
    s = Sketch()
    before = s.graph(s.matmul(s.input("x", left, element), s.input("w", right, element)))
    after = canonicalise(before)
    check(before, after)
    return after


def written(graph: Graph) -> list[str]:
    """Dtypes of what the ops write, in order."""
    return [graph.tensors[op.outputs[0].tensor].dtype.name for op in graph.topological()]


@pytest.mark.parametrize("element", ["float8_e4m3", "float8_e5m2"])
def test_rows_of_one_byte_pass_through_bfloat16_to_be_turned(element: str) -> None:
    after = products((4, 6), (6, 8), element)
    assert written(after) == ["bfloat16", element, "float32"]
    contract = after.topological()[-1]
    assert [o.tensor for o in contract.operands][1] == "w"


def test_a_tensor_is_turned_once_for_all_who_read_it() -> None:
    s = Sketch()
    x = s.input("x", (4, 6), "float8_e4m3")
    others = [s.input(name, (6, 8), "float8_e4m3") for name in ("v", "w")]
    before = s.graph(*(s.matmul(x, other) for other in others))
    after = canonicalise(before)
    check(before, after)
    assert written(after) == ["bfloat16", "float8_e4m3", "float32", "float32"]


def test_views_are_turned_by_what_lies_in_memory() -> None:
    s = Sketch()
    x, w = s.input("x", (6, 4), "float8_e4m3"), s.input("w", (8, 6), "float8_e4m3")
    before = s.graph(s.matmul(s.transpose(x), s.transpose(w)))
    after = canonicalise(before)
    check(before, after)
    assert written(after).count("bfloat16") == 1
    (wide,) = (t for t in after.tensors.values() if t.dtype.name == "bfloat16")
    assert wide.shape == (6, 8)


def test_a_single_row_is_not_turned() -> None:
    assert written(products((1, 6), (6, 8), "float8_e4m3")) == ["float32"]


def test_wider_types_are_turned_as_they_are() -> None:
    assert written(products((4, 6), (6, 8), "bfloat16")) == ["float32"]
