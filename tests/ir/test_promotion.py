from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from nkigen_cp.errors import UnsupportedError
from nkigen_cp.ir.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT32, INT8, INT32, UINT8
from nkigen_cp.ir.tensor.promotion import NARROWED, narrow, promote, result_dtype
from nkigen_cp.ir.tensor.table import OPS


@pytest.mark.parametrize("name", DTYPES)
def test_promotion_follows_numpy(name: str) -> None:
    first = DTYPES[name]
    for second in DTYPES.values():
        try:
            expected = str(np.promote_types(first.numpy, second.numpy))
        except TypeError:
            expected = "float32"
        assert promote(first, second).name == NARROWED.get(expected, expected)


def test_promotion_is_symmetric() -> None:
    for first, second in itertools.combinations(DTYPES.values(), 2):
        assert promote(first, second) is promote(second, first)


def test_scalars_are_weak() -> None:
    add, divide = OPS["add"], OPS["divide"]
    assert result_dtype(add, [BFLOAT16], [2.5]) is BFLOAT16
    assert result_dtype(add, [INT8], [300]) is INT8
    assert result_dtype(add, [INT8], [0.5]) is FLOAT32
    assert result_dtype(add, [BOOL], [1]) is INT32
    assert result_dtype(divide, [UINT8], [2]) is FLOAT32


def test_narrowing() -> None:
    assert narrow(np.float64) == (FLOAT32, True)
    assert narrow("int64") == (INT32, True)
    assert narrow("bf16") == (BFLOAT16, False)
    assert narrow(ml_dtypes.bfloat16) == (BFLOAT16, False)
    for unknown in ("complex64", "nonsense", object):
        with pytest.raises(UnsupportedError):
            narrow(unknown)
