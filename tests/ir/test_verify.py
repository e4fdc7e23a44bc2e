# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.errors import GraphError
from nkigen_cp.frontend import spec, trace
from nkigen_cp.ir.dtypes import BFLOAT16
from nkigen_cp.ir.tensor.graph import Axis, DimIndex, Graph, Immediate, Op, Operand, Term
from nkigen_cp.ir.tensor.graph import identity_index as identity
from nkigen_cp.ir.tensor.verify import verify_graph


def graph() -> Graph:
    def fn(x: Any, y: Any, i: Any) -> Any:
        total = x + y
        rows = np.sum(total, axis=1)
        both = np.concatenate([x, y])
        picked = x[i]
        return rows, both, picked

    return trace(fn, spec((2, 3)), spec((2, 3)), spec((2,), "uint32"))


def changed(base: Graph, op: str, **fields: Any) -> Graph:
    return replace(base, ops={**base.ops, op: replace(base.ops[op], **fields)})


def test_a_good_graph_passes() -> None:
    verify_graph(graph())


def test_a_hand_made_interleaved_write_passes() -> None:
    base = graph()
    ops = dict(base.ops)
    for position, name in enumerate(("both.0", "both.1")):
        index = (DimIndex(offset=position, terms=(Term(axis=0, stride=2),)), *identity([1]))
        ops[name] = replace(ops[name], outputs=(Operand(tensor="both", index=index),))
    verify_graph(replace(base, ops=ops))


X = Operand(tensor="x", index=identity([0, 1]))
TOTAL = Operand(tensor="total", index=identity([0, 1]))
AXES = (Axis(name="a", size=2), Axis(name="b", size=3))


def out(tensor: str, *dims: DimIndex) -> tuple[Operand, ...]:
    return (Operand(tensor=tensor, index=dims),)


A0, A1 = identity([0, 1])
PICK = DimIndex(picked=2)
PICKED = Operand(tensor="x", index=(PICK, A1))
INDEX = Operand(tensor="i", index=identity([0]))
BROKEN: dict[str, tuple[Any, str]] = {
    "no ops": (lambda g: replace(g, ops={}), "empty"),
    "no outputs": (lambda g: replace(g, output_names=()), "empty"),
    "unknown input": (lambda g: replace(g, input_names=("x", "z")), "input 'z'"),
    "unknown operand": (
        lambda g: changed(g, "total", inputs=(X, Operand(tensor="z", index=(A0, A1)))),
        "tensor 'z'",
    ),
    "unread input gone": (lambda g: replace(g, input_names=("x", "i")), "'y'.*dangling"),
    "unwritten output": (lambda g: replace(g, output_names=("x",)), "'x' is dangling"),
    "input written": (lambda g: changed(g, "total", outputs=(X,)), "'x' is an input"),
    "axis names": (
        lambda g: replace(g, tensors={**g.tensors, "x": replace(g.tensors["x"], axes=("a",))}),
        "1 axis names",
    ),
    "constant": (
        lambda g: replace(g, input_names=("x", "i"), constants={"y": np.zeros(3, np.float32)}),
        "constant 'y'",
    ),
    "kind": (lambda g: changed(g, "total", kind="plus"), "unknown kind 'plus'.*test_verify.py"),
    "arity": (lambda g: changed(g, "total", inputs=(X,)), "must have 2 inputs"),
    "only numbers": (lambda g: changed(g, "total", inputs=(Immediate(value=1),) * 2), "a tensor"),
    "dim count": (lambda g: changed(g, "total", outputs=out("total", A0)), "1 indices"),
    "axis beyond": (lambda g: changed(g, "total", axes=AXES[:1]), "beyond the op's 1"),
    "bounds": (
        lambda g: changed(g, "both.1", outputs=out("both", replace(A0, offset=3), A1)),
        "3 to 4 are out of bounds of dim 0",
    ),
    "negative": (
        lambda g: changed(g, "both.1", outputs=out("both", replace(A0, offset=-1), A1)),
        "-1 to 0 are out of bounds",
    ),
    "reduced output": (
        lambda g: changed(g, "total", axes=(AXES[0], replace(AXES[1], reduced=True))),
        "reduced axis 'b'",
    ),
    "overlap": (
        lambda g: changed(g, "both.1", outputs=out("both", replace(A0, offset=1), A1)),
        "'both.0' and 'both.1' overlap",
    ),
    "gap": (
        lambda g: replace(g, ops={n: o for n, o in g.ops.items() if n != "both.1"}),
        "6 of the 12 elements",
    ),
    "written twice": (
        lambda g: changed(g, "both.1", outputs=out("both", replace(A0, offset=2), DimIndex())),
        "must index 1 dim",
    ),
    "folded": (
        lambda g: changed(
            g,
            "both.1",
            outputs=out(
                "both", DimIndex(offset=2), DimIndex(terms=(Term(axis=0), Term(axis=1, stride=0)))
            ),
        ),
        "more than once",
    ),
    "dtype": (
        lambda g: replace(
            g, tensors={**g.tensors, "total": replace(g.tensors["total"], dtype=BFLOAT16)}
        ),
        "gives float32, but 'total' is bfloat16",
    ),
    "picked twice": (
        lambda g: changed(g, "picked", inputs=(PICKED, INDEX), outputs=out("picked", A0, PICK)),
        "1 dims of 'picked' are addressed by data; it must be 0",
    ),
    "nothing picked": (
        lambda g: changed(g, "picked", inputs=(X, INDEX)),
        "0 dims of 'x' are addressed by data; it must be 1",
    ),
    "picked along an axis": (
        lambda g: changed(
            g, "picked", inputs=(replace(PICKED, index=(replace(A0, picked=2), A1)), INDEX)
        ),
        "picked by data and runs along an axis too",
    ),
    "picked beyond": (
        lambda g: changed(
            g, "picked", inputs=(replace(PICKED, index=(replace(PICK, picked=3), A1)), INDEX)
        ),
        "0 to 2 are out of bounds",
    ),
    "float index": (
        lambda g: changed(g, "picked", inputs=(PICKED, replace(INDEX, tensor="rows"))),
        "the index is float32",
    ),
    "no dtype attribute": (lambda g: changed(g, "both.0", attrs={}), "needs attribute 'dtype'"),
}


def test_collectives_fit_their_groups() -> None:
    def fn(x: Any) -> Any:
        return cp.collectives.all_gather(cp.collectives.all_reduce(x, [[0, 1]]), [[0, 1]])

    base = trace(fn, spec((2, 3)))
    verify_graph(base)
    gathered = next(o for o in base.ops.values() if o.kind == "all_gather")
    for ranks, group, message in (
        ((0, 1), 1, r"makes \(4, 3\) of \(2, 3\), not \(2, 3\)"),
        ((0, 1, 2, 3), 2, "over 4 ranks, others over 2"),
    ):
        attrs = {**gathered.attrs, "ranks": ranks, "group": group}
        with pytest.raises(GraphError, match=message):
            verify_graph(changed(base, gathered.name, attrs=attrs))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_graphs_are_refused(case: str) -> None:
    breaks, message = BROKEN[case]
    with pytest.raises(GraphError, match=message):
        verify_graph(breaks(graph()))


def test_cycles_are_refused() -> None:
    base = trace(lambda x: (x + 1) + 2, spec((2,)))
    first, second = base.ops.values()
    looped: dict[str, Op] = {
        first.name: replace(
            first, inputs=(Operand(tensor=second.name, index=identity([0])), *first.inputs[1:])
        ),
        second.name: second,
    }
    with pytest.raises(GraphError, match="cycle"):
        verify_graph(replace(base, ops=looped))
