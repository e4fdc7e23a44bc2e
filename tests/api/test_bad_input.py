"""Bad input: a typed error in one clear sentence naming the user's line or key."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp import targets
from nkigen_cp.ir.tensor.graph import Graph
from tests.api.programs import arrays, attention, kernel, plan


def _sentence(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 400
    return text


def mismatched(x: Any, y: Any) -> Any:
    return x + y


def unequal_inner(x: Any, y: Any) -> Any:
    return x @ y


def medians(x: Any) -> Any:
    return np.nanmedian(x, axis=-1)


def decomposed(x: Any) -> Any:
    return np.linalg.svd(x)[1]


def branching(x: Any) -> Any:
    return x if x[0, 0] > 0 else -x


def _line(fn: Callable[..., Any]) -> str:
    _, first = inspect.getsourcelines(fn)
    return f"{Path(__file__).name}:{first + 1}"


X = np.ones((4, 6), np.float32)


@pytest.mark.parametrize(
    ("fn", "args", "error", "words"),
    [
        (mismatched, (X, np.ones((4, 5), np.float32)), cp.ShapeError, r"\(4, 6\).*\(4, 5\)"),
        (unequal_inner, (X, np.ones((5, 6), np.float32)), cp.ShapeError, r"\(4, 6\).*\(5, 6\)"),
        (medians, (X,), cp.UnsupportedError, "nanmedian"),
        (decomposed, (X,), cp.UnsupportedError, "svd"),
        (branching, (X,), cp.TraceError, ""),
    ],
)
def test_what_cannot_be_traced_names_the_users_line(
    fn: Callable[..., Any], args: tuple[Any, ...], error: type[cp.NkigenError], words: str
) -> None:
    with pytest.raises(error) as caught:
        cp.trace(fn, *args)
    text = _sentence(caught.value)
    assert _line(fn) in text
    assert re.search(words, text)


@pytest.mark.parametrize("dtype", ["complex64", "float63", "datetime64[s]"])
def test_an_unknown_dtype_is_named(dtype: str) -> None:
    with pytest.raises(cp.NkigenError) as caught:
        cp.trace(mismatched, cp.spec((4, 6), dtype), cp.spec((4, 6), "float32"))
    assert dtype.split("[", maxsplit=1)[0] in _sentence(caught.value)


def test_an_array_of_strings_is_refused() -> None:
    with pytest.raises(cp.NkigenError) as caught:
        cp.trace(mismatched, np.array([["a"]]), X)
    _sentence(caught.value)


def test_a_function_that_computes_nothing_is_an_empty_graph() -> None:
    with pytest.raises(cp.NkigenError) as caught:
        cp.solve(cp.trace(lambda: None))
    _sentence(caught.value)


def _changed(graph: Graph, **changes: Any) -> Graph:
    return dataclasses.replace(graph, **changes)


def test_an_empty_graph_is_refused() -> None:
    empty = _changed(plan().graph, ops={}, output_names=())
    with pytest.raises(cp.GraphError, match="'attention': the graph is empty"):
        cp.solve(empty)


def nested(x: Any) -> Any:
    return np.tanh(np.exp(x))


def test_a_cyclic_graph_is_refused() -> None:
    """Two ops that read each other, with shapes that fit."""
    graph = cp.trace(nested, X)
    exp, tanh = graph.ops.values()
    back = dataclasses.replace(exp.operands[0], tensor=tanh.outputs[0].tensor)
    cyclic = _changed(graph, ops={**graph.ops, exp.name: dataclasses.replace(exp, inputs=(back,))})
    with pytest.raises(cp.GraphError, match="has a cycle"):
        cp.solve(cyclic)


def test_a_graph_with_an_op_of_another_is_refused() -> None:
    graph, other = plan().graph, cp.trace(nested, X)
    op = next(iter(other.ops.values()))
    with pytest.raises(cp.GraphError) as caught:
        cp.solve(_changed(graph, ops={**graph.ops, op.name: op}))
    assert op.name in _sentence(caught.value)


FOREIGN: Mapping[str, Any] = {"networkx": nx.DiGraph([(1, 2)]), "text": "graph", "none": None}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_graph_is_refused(name: str) -> None:
    with pytest.raises(cp.ArgumentError, match=r"solve takes a Graph \(cp.trace makes one\)"):
        cp.solve(FOREIGN[name])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"effort": "heroic"}, cp.ArgumentError, "effort='heroic' is not one of fast, balanced"),
        ({"workers": 0}, cp.ArgumentError, "workers=0 must be at least 1"),
        ({"matmul_precision": "fp4"}, cp.UnsupportedError, "matmul_precision='fp4'"),
    ],
)
def test_options_out_of_range_are_named(
    options: dict[str, Any], error: type[cp.NkigenError], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        cp.solve(plan().graph, **options)


def test_simulating_the_wrong_arrays_names_the_input() -> None:
    q, k, v = arrays()
    with pytest.raises(cp.ArgumentError) as caught:
        cp.simulate(kernel(), q[:-1], k, v)
    assert re.search(r"'q'.*\(159, 64\).*\(160, 64\)", _sentence(caught.value))
    with pytest.raises(cp.ArgumentError, match=r"'k'.*float64.*float32"):
        cp.simulate(kernel(), q, k.astype(np.float64), v)
    with pytest.raises(cp.NkigenError, match="missing a required argument: 'v'"):
        cp.simulate(kernel(), q, k)


def _plan_data() -> Any:
    return json.loads(plan().to_json())


def _without(*path: str) -> str:
    data = _plan_data()
    at = data
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return json.dumps(data)


def _with(value: Any, *path: str | int) -> str:
    data = _plan_data()
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(data)


CORRUPT: Mapping[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", "not valid JSON"),
    "cut off": (lambda: plan().to_json()[:500], "not valid JSON"),
    "a list": (lambda: "[]", "version None"),
    "other version": (lambda: _with(99, "plan", "version"), "version 99.*reads version"),
    "missing key": (lambda: _without("plan", "steps"), "steps"),
    "unknown key": (lambda: _with(1, "plan", "surprise"), "surprise"),
    "wrong type": (lambda: _with("soon", "plan", "objective_ns"), "objective_ns: expected int"),
    "unknown class": (lambda: _with("os.system", "plan", "steps", 0, "spec", "is"), "spec"),
    "bad dtype": (lambda: _with("float7", "graph", "tensors", 0, "dtype"), "float7"),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_plan_file_names_file_and_place(name: str, tmp_path: Path) -> None:
    text, words = CORRUPT[name]
    path = tmp_path / "broken.json"
    path.write_text(text())
    with pytest.raises(cp.PlanError) as caught:
        cp.Plan.load(path)
    message = _sentence(caught.value)
    assert "broken.json" in message
    assert re.search(words, message)


def test_a_plan_that_contradicts_its_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    path.write_text(_with([], "plan", "steps"))
    with pytest.raises(cp.PlanError) as caught:
        cp.Plan.load(path)
    _sentence(caught.value)


def test_a_missing_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(cp.PlanError, match=r"nowhere\.json: No such file"):
        cp.Plan.load(tmp_path / "nowhere.json")


def test_saving_into_a_missing_folder_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(cp.PlanError, match="nowhere"):
        plan().save(tmp_path / "nowhere" / "plan.json")
    assert list(tmp_path.iterdir()) == []


def test_a_target_file_with_a_missing_key_names_it(tmp_path: Path) -> None:
    shipped = Path(targets.__file__).parent / "trn2.json"
    data = json.loads(shipped.read_text())
    key = next(k for k in data if k not in ("name", "sources"))
    del data[key]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(data))
    with pytest.raises(cp.TargetError) as caught:
        cp.load_target(path)
    assert key in _sentence(caught.value)


def test_what_does_not_fit_names_tensors_and_bytes() -> None:
    """Softmax over a row of which no block fits."""

    def program(x: Any) -> Any:
        return np.exp(x - np.max(x, axis=-1, keepdims=True))

    graph = cp.trace(program, cp.spec((128, 200_000), "float32"))
    target = dataclasses.replace(cp.TRN2, sbuf_partition_bytes=64)
    with pytest.raises(cp.Infeasible) as caught:
        cp.solve(graph, target, effort="fast")
    text = _sentence(caught.value)
    assert re.search(r"SBUF of 64 B per partition.*x \(800000 B\)", text)
    assert "no structure of loops tried fits" in text


def test_every_error_has_one_base() -> None:
    errors = [getattr(cp, n) for n in cp.__all__ if n.endswith("Error") or n == "Infeasible"]
    assert len(errors) > 8
    assert all(issubclass(e, cp.NkigenError) for e in errors)


def test_attention_is_traced_with_its_names() -> None:
    graph = cp.trace(attention, *arrays())
    assert {"scores", "weights", "total", "mixed"} <= set(graph.tensors)
