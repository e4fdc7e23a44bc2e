"""Which results may take the place of an operand in SBUF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nkigen_cp as cp
from nkigen_cp.solver.instance import build_instance
from nkigen_cp.solver.plan import Options
from nkigen_cp.solver.solve import canonical
from nkigen_cp.solver.structure import Structure, structured


def _pairs(fn: Callable[[Any], Any]) -> set[tuple[str, str]]:
    graph = cp.trace(fn, cp.spec((128, 4096)))
    program = structured(canonical(graph, Options()), Structure())
    return {(r.operand, r.result) for r in build_instance(program, cp.TRN2).reuses}


def _plain(x: Any) -> Any:
    y = np.exp(x)
    z = np.tanh(y)
    return z * np.sum(z, axis=1, keepdims=True)


def _halves(x: Any) -> Any:
    y = np.exp(x)
    z = np.concatenate([np.tanh(y[:, :2048]), y[:, 2048:] * y[:, 2048:]], axis=1)
    return z * np.sum(z, axis=1, keepdims=True)


def test_a_result_takes_the_place_of_what_dies() -> None:
    assert ("y", "z") in _pairs(_plain)


def test_what_several_ops_write_takes_no_place() -> None:
    assert all(result != "z" for _, result in _pairs(_halves))
