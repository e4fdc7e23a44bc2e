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


def test_a_single_row_is_not_turned() -> None:
    assert written(products((1, 6), (6, 8), "float8_e4m3")) == ["float32"]


def test_wider_types_are_turned_as_they_are() -> None:
    assert written(products((4, 6), (6, 8), "bfloat16")) == ["float32"]
