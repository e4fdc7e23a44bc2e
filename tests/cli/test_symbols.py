from __future__ import annotations

import pytest

from nkigen_cp.cli.symbols import combinations, parse_varied, substitute, symbols
from nkigen_cp.errors import ArgumentError

DECLARED = ("x:Sx64xT2:DT", "S:64xS:f32", "eps:scalar:f32")


def test_names_in_capitals_stand_for_sizes_and_types_but_not_for_arrays() -> None:
    assert symbols(DECLARED) == ("S", "T2", "DT")
    values = {"S": "128", "T2": "3", "DT": "bf16"}
    assert [substitute(text, values) for text in DECLARED] == [
        "x:128x64x3:bf16",
        "S:64x128:f32",
        "eps:scalar:f32",
    ]


def test_all_combinations_the_last_name_fastest() -> None:
    varied = [parse_varied("S=1,2"), parse_varied("matmul-precision=exact,bf16")]
    found = list(combinations(varied, ["x:S:f32"]))
    assert [tuple(f.values()) for f in found] == [
        ("1", "exact"),
        ("1", "bf16"),
        ("2", "exact"),
        ("2", "bf16"),
    ]
    assert list(found[0]) == ["S", "matmul_precision"]


@pytest.mark.parametrize("text", ["S", "S=", "=1", "S=1,,2", "1S=2"])
def test_bad_text(text: str) -> None:
    with pytest.raises(ArgumentError, match="NAME=VALUE"):
        parse_varied(text)


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        (["S=1", "S=2"], "twice"),
        (["S=1", "targt=trn2"], "did you mean 'target'"),
        (["target=trn2"], "add --vary S="),
    ],
)
def test_bad_names(varied: list[str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        list(combinations([parse_varied(v) for v in varied], ["x:S:f32"]))
