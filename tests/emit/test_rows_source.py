"""Sources of functions of rows, from the compiler, under the independent judge."""

# The traced functions are lambdas over Any, whose parameters strict mode calls unknown.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from tests.api.functions import whole
from tests.emit.conftest import Judge

CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "running sums": (lambda a: np.cumsum(a, axis=-1), (20, 2, 40)),
    "running sums of a long row": (lambda a: np.minimum.accumulate(a, axis=-1), (1, 9001)),
    "largest, where": (lambda a: cp.ops.topk(a, 20), (140, 40)),
    "smallest of short columns": (lambda a: cp.ops.topk(a, 3, 0, is_ascend=True), (5, 12)),
    "places of extremes": (lambda a: np.argmax(a, axis=0).astype(np.int32), (40, 9)),
    "places of a long row": (lambda a: np.argmin(a, axis=1).astype(np.int32), (2, 5000)),
    "order": (lambda a: np.argsort(a, axis=0, kind="stable").astype(np.int32), (21, 12)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_source_computes_what_numpy_does(case: Any, judge: Judge) -> None:
    function, shape = case
    x = whole(*shape)
    source = cp.emit_nki(cp.lower(cp.solve(cp.trace(function, x), effort="fast")))
    want = function(x)
    judge(source, [x], want if isinstance(want, tuple) else (want,))
