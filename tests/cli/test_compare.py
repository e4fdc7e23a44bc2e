from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nkigen_cp.cli.compare import compare, leaves, tolerance


def _array(*values: float) -> Any:
    return np.array(values, np.float32)


def test_error_is_relative_to_the_largest_value() -> None:
    d = compare("y", _array(1.0, 100.5), _array(1.0, 100.0), 0.01)
    assert (d.absolute, d.relative) == (0.5, 0.005)
    assert d.matches
    assert not compare("y", _array(1.0, 102.0), _array(1.0, 100.0), 0.01).matches


@pytest.mark.parametrize(
    ("actual", "reference", "matches"),
    [
        (_array(np.nan), _array(np.nan), True),
        (_array(np.inf, 1), _array(np.inf, 1), True),
        (_array(np.nan), _array(1), False),
        (_array(1), _array(np.nan), False),
        (_array(np.inf), _array(1), False),
        (_array(np.inf), _array(-np.inf), False),
        (_array(0, 0), _array(0, 0), True),
        (_array(), _array(), True),
        (_array(1, 1), _array(1), False),
    ],
)
def test_special_values(actual: Any, reference: Any, matches: bool) -> None:
    assert compare("y", actual, reference, 0.1).matches == matches


def test_leaves_flatten_in_order() -> None:
    result = {"a": (_array(1), [_array(2)]), "b": None, "c": np.float32(3)}
    assert [float(leaf.sum()) for leaf in leaves(result)] == [1, 2, 3]


def test_tolerance_follows_the_narrowest_float() -> None:
    assert tolerance(["int32", "bool"]) == 0
    assert tolerance(["float32", "int32"]) < tolerance(["float32", "bfloat16"])
    assert tolerance(["float32"], "bf16") == tolerance(["bfloat16"])
