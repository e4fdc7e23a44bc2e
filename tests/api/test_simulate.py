"""Running kernels: watched tensors, the first difference, structures, keywords."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Instruction, View
from nkigen_cp.simulate.compare import relative_error
from tests.api.programs import arrays, attention, kernel, plan, tampered


class Pair(NamedTuple):
    left: Any
    right: Any


def test_simulate_returns_what_the_function_does() -> None:
    got: Any = cp.simulate(kernel(), *arrays())
    want = attention(*(a.astype(np.float64) for a in arrays()))
    assert type(got) is np.ndarray
    assert got.dtype == np.float32
    assert relative_error(got, want) < 1e-4


def _held() -> list[str]:
    tensors = dict.fromkeys(f.tensor for f in plan().forms if f.layout is not None)
    return [t for t in tensors if t in plan().graph.tensors]


def test_watched_values_have_the_users_shape_and_the_interpreters_value() -> None:
    names = _held()
    assert {"q", "weights"} <= set(names)
    _, watched = cp.simulate(kernel(), *arrays(), watch=names)
    assert list(watched) == names
    wide: list[Any] = [a.astype(np.float64) for a in arrays()]
    q, k, v = wide
    scores: Any = q @ k.T
    weights: Any = np.exp(scores - scores.max(axis=-1, keepdims=True))
    want: dict[str, Any] = {
        "q": q,
        "k": k,
        "v": v,
        "scores": scores,
        "weights": weights,
        "total": weights.sum(axis=-1, keepdims=True),
        "mixed": weights @ v,
    }
    compared = [n for n in names if n in want]
    assert len(compared) >= 4
    for name in compared:
        assert watched[name].shape == want[name].shape
        assert relative_error(watched[name], want[name]) < 1e-4


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(cp.ArgumentError, match=r"'weight' whole; nearest: .*weights"):
        cp.simulate(kernel(), *arrays(), watch=["weight"])


def test_a_good_kernel_has_no_first_difference() -> None:
    assert cp.first_difference(kernel(), *arrays()) is None


def test_the_first_difference_of_a_bfloat16_kernel_allows_for_rounding() -> None:
    specs = [cp.spec(a.shape, "bfloat16") for a in arrays()]
    made = cp.lower(cp.solve(cp.trace(attention, *specs), effort="fast"))
    narrow = [a.astype(t.dtype.numpy) for a, t in zip(arrays(), made.graph.inputs, strict=True)]  # pyright: ignore[reportOptionalMemberAccess]
    assert cp.first_difference(made, *narrow) is None
    assert cp.first_difference(made, *narrow, tolerance=1e-7) is not None


def _other_function(instruction: Instruction) -> Instruction:
    if instruction.args.get("op") != "exp":
        return instruction
    return dataclasses.replace(instruction, args={**instruction.args, "op": "tanh"})


def test_the_first_difference_names_the_tensor_that_went_wrong() -> None:
    found = cp.first_difference(tampered(kernel(), "weights", _other_function), *arrays())
    assert found is not None
    assert found.tensor == "weights"
    assert found.error > found.allowed
    assert "programs.py:" in str(found)


def test_a_wrong_input_load_is_found_before_its_consumers() -> None:
    def shifted(instruction: Instruction) -> Instruction:
        """Reads the other operand of the same shape."""
        src = instruction.args["src"]
        assert isinstance(src, View)
        wrong = dataclasses.replace(src, buffer="v")
        return dataclasses.replace(instruction, args={**instruction.args, "src": wrong})

    def total(q: Any, k: Any, v: Any) -> Any:
        return np.exp(q) + np.tanh(k) * v

    rng = np.random.default_rng(5)
    given = [rng.standard_normal((64, 32), np.float32) for _ in range(3)]
    made = cp.lower(cp.solve(cp.trace(total, *given), effort="fast"))
    assert cp.first_difference(made, *given) is None
    found = cp.first_difference(tampered(made, "k", shifted), *given)
    assert found is not None
    assert found.tensor == "k"


def test_a_kernel_built_by_hand_has_nothing_to_compare_with() -> None:
    bare = dataclasses.replace(kernel(), graph=None)
    with pytest.raises(cp.ArgumentError, match=r"'attention' .* no graph"):
        cp.first_difference(bare, *arrays())


def test_keyword_arguments_and_structures_go_in_and_come_out() -> None:
    def program(pair: Pair, *, scale: dict[str, Any], power: int = 2) -> dict[str, Any]:
        both = pair.left * scale["a"] + pair.right
        return {"both": both, "more": [both**power, pair.left - 1.0]}

    rng = np.random.default_rng(6)
    x, y = (rng.standard_normal((64, 32), np.float32) for _ in range(2))
    a = np.full((1, 32), 2.0, np.float32)
    graph = cp.trace(program, Pair(x, y), scale={"a": a}, power=2)
    made = cp.lower(cp.solve(graph, effort="fast"))
    got = cp.simulate(made, Pair(x, y), scale={"a": a}, power=2)
    want = program(Pair(x, y), scale={"a": a})
    assert list(got) == ["both", "more"]
    assert relative_error(got["both"], want["both"]) < 1e-5
    assert [relative_error(g, w) < 1e-5 for g, w in zip(got["more"], want["more"], strict=True)]
    assert isinstance(got["more"], list)
    with pytest.raises(cp.NkigenError, match="scale"):
        cp.simulate(made, Pair(x, y), power=2)


def test_interpret_evaluates_exactly_or_in_the_graphs_precision() -> None:
    specs = [cp.spec(a.shape, "bfloat16") for a in arrays()]
    graph = cp.trace(attention, *specs)
    narrow = [a.astype(t.dtype.numpy) for a, t in zip(arrays(), graph.inputs, strict=True)]
    want = attention(*(a.astype(np.float64) for a in narrow))
    assert relative_error(cp.interpret(graph, *narrow), want) < 1e-12
    rounded = cp.interpret(graph, *narrow, precision="graph")
    assert 1e-5 < relative_error(rounded, want) < 0.2
    with pytest.raises(cp.ArgumentError, match="'half' is neither 'float64' nor 'graph'"):
        cp.interpret(graph, *narrow, precision="half")
