"""Plan files: what is written is read back; what is not a plan is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.tensor.graph import Immediate, Term
from nkigen_cp.solver.codec import decode, dumps

PlanOf = Callable[[str], cp.Plan]
Edit = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("name", ["softmax", "bias", "causal", "streamed", "reinterpreted"])
def test_round_trip(plan_of: PlanOf, tmp_path: Path, name: str) -> None:
    plan, path = plan_of(name), tmp_path / "plan.json"
    plan.save(path)
    loaded = cp.Plan.load(path)
    assert loaded.data == plan.data
    assert loaded.to_json() == plan.to_json() == path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def _drop_key(data: dict[str, Any]) -> None:
    del data["plan"]["steps"]


def _add_key(data: dict[str, Any]) -> None:
    data["plan"]["mood"] = "good"


def _wrong_type(data: dict[str, Any]) -> None:
    data["plan"]["objective_ns"] = "fast"


def _wrong_class(data: dict[str, Any]) -> None:
    data["plan"]["steps"][0]["spec"]["is"] = "Teleport"


def _other_version(data: dict[str, Any]) -> None:
    data["plan"]["version"] = 99


def _no_plan(data: dict[str, Any]) -> None:
    del data["plan"]


def _bad_dtype(data: dict[str, Any]) -> None:
    data["graph"]["tensors"][0]["dtype"] = "float33"


def _illegal(data: dict[str, Any]) -> None:
    data["plan"]["steps"][0]["group"] = 7


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop_key, r"\.plan: missing key \['steps'\]"),
        (_add_key, r"\.plan: unknown key 'mood'"),
        (_wrong_type, r"\.plan\.objective_ns: expected int, found str"),
        (_wrong_class, r"\.plan\.steps\[0\]\.spec: expected one of Elementwise"),
        (_other_version, "has version 99; this release reads version 9"),
        (_no_plan, "has version None"),
        (_bad_dtype, "float33"),
        (_illegal, "breaks rule 'steps'"),
    ],
)
def test_refuses(plan_of: PlanOf, tmp_path: Path, edit: Edit, message: str) -> None:
    data = json.loads(plan_of("softmax").to_json())
    edit(data)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(cp.PlanError, match=message):
        cp.Plan.load(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"plan": 4}', "\x00"])
def test_refuses_what_is_no_plan(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(cp.PlanError, match=r"plan\.json"):
        cp.Plan.load(path)


def test_refuses_every_truncation(plan_of: PlanOf, tmp_path: Path) -> None:
    text, path = plan_of("chain").to_json(), tmp_path / "plan.json"
    for size in range(0, len(text.rstrip()), 997):
        path.write_text(text[:size], encoding="utf-8")
        with pytest.raises(cp.PlanError, match=r"plan\.json is not valid JSON"):
            cp.Plan.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(cp.PlanError, match=r"none\.json: No such file"):
        cp.Plan.load(tmp_path / "none.json")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_without_a_word_in_json_round_trip(value: float) -> None:
    text = dumps(Immediate(value=value))
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    read = decode(Immediate, json.loads(text), "here")
    np.testing.assert_array_equal(read.value, value)


def test_an_infinity_is_no_integer() -> None:
    with pytest.raises(cp.PlanError, match=r"here\.axis: expected no infinity"):
        decode(Term, {"axis": {"float": "inf"}, "stride": 1}, "here")
