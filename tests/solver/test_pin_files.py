"""Pins as text and in files: what is written is read again, what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nkigen_cp as cp
from nkigen_cp.errors import ArgumentError

PINS = (
    cp.pin("scores", partition=("h", 1), engine="scalar"),
    cp.pin("w", residency="streamed"),
    cp.pin("e", tile=64, instruction="activation", stationary="lhs"),
    cp.fuse("scores", "e"),
)


def test_round_trip(tmp_path: Path) -> None:
    cp.save_pins(tmp_path / "pins.json", PINS)
    assert cp.load_pins(tmp_path / "pins.json") == PINS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("scores.partition=q", cp.pin("scores", partition="q")),
        ("scores.partition=h,-1", cp.pin("scores", partition=("h", -1))),
        ("softmax.e.tile=64", cp.pin("softmax.e", tile=64)),
        ("w.residency=stream", cp.pin("w", residency="stream")),
        ("fuse(scores, e)", cp.fuse("scores", "e")),
    ],
)
def test_a_pin_in_a_line(text: str, meant: object) -> None:
    assert cp.parse_pin(text) == meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scores", "allowed is TENSOR.KIND=VALUE"),
        ("scores=q", "allowed is TENSOR.KIND=VALUE"),
        ("scores.partition=", "allowed is TENSOR.KIND=VALUE"),
        ("scores.axis=q", "'axis' is not one of partition, tile"),
        ("scores.tile=many", "tile cannot be 'many'"),
        ("scores.engine=pool", "allowed is tensor, vector"),
        ("fuse(scores)", "allowed is TENSOR.KIND=VALUE"),
    ],
)
def test_a_wrong_line_says_what_is_right(text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        cp.parse_pin(text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "expected a list of pins"),
        ([3], r"\[0\]: expected"),
        ([{"tensor": 3, "tile": 2}], r"\[0\]: expected"),
        ([{"tensor": "e", "tile": 2}, {"fuse": ["e"]}], r"\[1\]: fuse takes a list of two"),
        ([{"tensor": "e", "tile": True}], "tile cannot be True"),
        ([{"tensor": "e", "axis": "q"}], "'axis' is not one of"),
    ],
)
def test_a_wrong_file_names_the_entry(tmp_path: Path, data: Any, words: str) -> None:
    path = tmp_path / "pins.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ArgumentError, match=words):
        cp.load_pins(path)


def test_a_file_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="No such file"):
        cp.load_pins(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(ArgumentError, match="not valid JSON"):
        cp.load_pins(tmp_path / "bad.json")
    with pytest.raises(ArgumentError, match="give another path"):
        cp.save_pins(tmp_path / "none" / "pins.json", PINS)
