"""Products by labels, and reductions that are made of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nkigen_cp.errors import ShapeError
from nkigen_cp.frontend import spec, trace

numpy: Any = np
Shapes = tuple[tuple[int, ...], ...]
Fn = Callable[[Any], Any]
Fn2 = Callable[[Any, Any], Any]

EINSUMS: tuple[tuple[str, Shapes], ...] = (
    ("ij,jk->ik", ((3, 4), (4, 5))),
    ("ij,jk", ((3, 4), (4, 5))),
    ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5))),
    ("ij->ji", ((3, 4),)),
    ("ij->", ((3, 4),)),
    ("ii->i", ((4, 4),)),
    ("ii", ((4, 4),)),
    ("i,j->ij", ((3,), (4,))),
    ("ij,ij->ij", ((3, 4), (3, 4))),
    ("ij,ij->", ((3, 4), (3, 4))),
    ("ijk,j->ik", ((2, 3, 4), (3,))),
    ("ij,kl->", ((2, 3), (4, 5))),
    ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))),
    ("...i->...", ((2, 3, 4),)),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
    ("ab,bc,ca->b", ((2, 3), (3, 4), (4, 2))),
    ("bij,bjk->bik", ((1, 3, 4), (5, 4, 2))),
    ("ij , jk -> ki", ((3, 4), (4, 5))),
)


@pytest.mark.parametrize(("labels", "shapes"), EINSUMS)
def test_einsum(agrees: Any, data: Any, labels: str, shapes: Shapes) -> None:
    def fn(*xs: Any) -> Any:
        return numpy.einsum(labels, *xs)

    agrees(fn, *(data(s) for s in shapes))


PRODUCTS: dict[str, tuple[Shapes, Fn2]] = {
    "tensordot": (((2, 3, 4), (3, 4, 5)), numpy.tensordot),
    "tensordot one": (((2, 3), (3, 5)), lambda a, b: numpy.tensordot(a, b, axes=1)),
    "tensordot none": (((2, 3), (4,)), lambda a, b: numpy.tensordot(a, b, axes=0)),
    "tensordot pairs": (
        ((2, 3, 4), (4, 2, 5)),
        lambda a, b: numpy.tensordot(a, b, axes=([0, 2], [1, 0])),
    ),
    "outer": (((3,), (2, 2)), numpy.outer),
    "inner": (((2, 3), (4, 3)), numpy.inner),
    "inner of vectors": (((3,), (3,)), numpy.inner),
    "vdot": (((2, 3), (2, 3)), numpy.vdot),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_products(agrees: Any, data: Any, case: str) -> None:
    shapes, function = PRODUCTS[case]
    agrees(function, *(data(s) for s in shapes))


REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "prod": lambda x: numpy.prod(x, axis=1),
    "any": lambda x: numpy.any(x > 1.2, axis=0),
    "all": lambda x: numpy.all(x, keepdims=True),
    "count_nonzero": lambda x: numpy.count_nonzero(x > 1, axis=-1),
    "var": lambda x: numpy.var(x, axis=(0, 1)),
    "var of a sample": lambda x: numpy.var(x, axis=1, ddof=1, keepdims=True),
    "std": numpy.std,
    "norm": numpy.linalg.norm,
    "norm of rows": lambda x: numpy.linalg.norm(x, axis=-1, keepdims=True),
    **{
        f"norm {order}": lambda x, order=order: numpy.linalg.norm(x - 1, order, axis=1)
        for order in (0, 1, 2, np.inf, -np.inf)
    },
    "norm fro": lambda x: numpy.linalg.norm(x, "fro", axis=(0, 1)),
    "reduce": lambda x: numpy.multiply.reduce(x, axis=1),
}


@pytest.mark.parametrize("case", REDUCTIONS)
def test_reductions(agrees: Any, data: Any, case: str) -> None:
    agrees(REDUCTIONS[case], data((2, 3, 4)))


ERRORS: list[tuple[Fn, str]] = [
    (lambda x: numpy.einsum("ijk->i", x), "do not fit"),
    (lambda x: numpy.einsum("ij,jk->ik", x), "is for 2 operands"),
    (lambda x: numpy.einsum("ii->i", x), "sizes 3 and 4"),
    (lambda x: numpy.tensordot(x, x, axes=1), "disagree"),
]


@pytest.mark.parametrize(("function", "words"), ERRORS)
def test_errors(function: Fn, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        trace(function, spec((3, 4)))


def test_other_norms_are_refused() -> None:
    def fn(x: Any) -> Any:
        return numpy.linalg.norm(x, 3, axis=0)

    with pytest.raises(NotImplementedError, match=r"None, 0, 1, 2, inf and -inf"):
        trace(fn, spec((3, 4)))
