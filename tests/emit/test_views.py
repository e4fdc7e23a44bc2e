"""Every view form: its text, and that the text evaluated on numpy selects the right elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkigen_cp.emit.expressions import affine, number, positive_condition
from nkigen_cp.emit.views import spell_view
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Index, Kept, LoopTerm, Memory, Repeat, View
from tests.emit.kernels import buffer, sbuf, var, view

VARS = {"k": "k", "n": "n"}
X = sbuf("x", 8, 4, 6)
ROW = sbuf("s", 8, 1)
H = buffer("h", (4, 6), Memory.INPUT)

CASES: list[tuple[Buffer, View, str]] = [
    (X, view(X), "x"),
    (X, view(X, None, var("k"), (var("n", 2), 2)), "x[0:8, k, 2 * n:2 * n + 2]"),
    (X, view(X, None, None, (0, 3, 2)), "x[0:8, 0:4, 0:6:2]"),
    (X, view(X, None, None, (1, 3, 2)), "x[0:8, 0:4, 1:6:2]"),
    (X, view(X, None, None, (var("n"), 3, 2)), "x[0:8, 0:4, n:n + 5:2]"),
    (X, view(X, (2, 4), 3, (5, 1)), "x[2:6, 3, 5:6]"),
    (X, view(X, None, 3, 5), "x[0:8, 3, 5:6]"),
    (X, view(X, dims=(0, 2, 1)), "x.permute((0, 2, 1))"),
    (X, view(X, None, (1, 2), dims=(0, 2, 1)), "x[0:8, 1:3, 0:6].permute((0, 2, 1))"),
    (
        X,
        view(X, None, 2, dims=(0, Repeat(size=3), 2)),
        "x[0:8, 2:3, 0:6].broadcast(1, 3)",
    ),
    (
        X,
        view(X, dims=(0, 2, Repeat(size=3), 1)),
        "x.permute((0, 2, 1)).expand_dim(2).broadcast(2, 3)",
    ),
    (ROW, view(ROW, None, 0, dims=(0, Repeat(size=5))), "s.broadcast(1, 5)"),
    (ROW, view(ROW, dims=(0, 1, Repeat(size=1))), "s.expand_dim(2)"),
    (ROW, view(ROW, None, 0), "s"),
    (H, view(H, 3), "h[3, 0:6]"),
    (H, view(H, 3, 2), "h[3, 2:3]"),
    (H, view(H, dims=(1, 0)), "h.permute((1, 0))"),
    (
        H,
        view(H, dims=(Repeat(size=2), 0, 1)),
        "h.expand_dim(0).broadcast(0, 2)",
    ),
    (H, view(H, 1, dims=(Repeat(size=7), 1)), "h[1:2, 0:6].broadcast(0, 7)"),
    (X, view(X, None, 1, (5, 3, -2)), "x.ap(pattern=[[24, 8], [-2, 3]], offset=11)"),
    (X, view(X, None, var("k"), (5, 6, -1)), "x.ap(pattern=[[24, 8], [-1, 6]], offset=6 * k + 5)"),
    (H, view(H, (3, 4, -1), 2), "h.ap(pattern=[[-6, 4]], offset=20)"),
]


class _Tensor:
    """Just enough of NKI's tensor to evaluate view text on a numpy array."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, key: Any) -> _Tensor:
        return _Tensor(self.array[key])

    def permute(self, dims: tuple[int, ...]) -> _Tensor:
        return _Tensor(self.array.transpose(dims))

    def expand_dim(self, dim: int) -> _Tensor:
        return _Tensor(np.expand_dims(self.array, dim))

    def broadcast(self, dim: int, size: int) -> _Tensor:
        assert self.array.shape[dim] == 1
        return _Tensor(np.repeat(self.array, size, axis=dim))

    def ap(self, pattern: list[list[int]], offset: int) -> _Tensor:
        steps = [step for step, _ in pattern]
        grid: Any = np.indices([count for _, count in pattern])
        places: Any = np.tensordot(steps, grid, 1) + offset
        assert places.min() >= 0
        return _Tensor(self.array.ravel()[places])


def _meaning(selected: View, array: Any, env: dict[str, int]) -> Any:
    places = [i.start.value(env) + np.arange(i.size) * i.step for i in selected.index]
    box = array[np.ix_(*places)]
    kept = [d.dim for d in selected.dims if isinstance(d, Kept)]
    dropped = [d for d in range(box.ndim) if d not in kept]
    box = box.transpose((*kept, *dropped)).reshape([box.shape[d] for d in kept])
    for position, dim in enumerate(selected.dims):
        if isinstance(dim, Repeat):
            box = np.repeat(np.expand_dims(box, position), dim.size, axis=position)
    return box


@pytest.mark.parametrize(("of", "selected", "text"), CASES, ids=[c[2] for c in CASES])
def test_view_text_and_meaning(of: Buffer, selected: View, text: str) -> None:
    assert spell_view(selected, of, of.name, VARS).text == text
    _check_meaning(of, selected)


def _check_meaning(of: Buffer, selected: View) -> None:
    spelled = spell_view(selected, of, of.name, VARS)
    count: Any = np.arange(of.size_bytes // of.dtype.size_bytes)
    array = count.reshape(of.shape)
    env = {"k": 2, "n": 1}
    result = eval(spelled.text, {of.name: _Tensor(array), **env}).array
    wanted = _meaning(selected, array, env)
    assert result.ndim == spelled.rank
    assert result.reshape(wanted.shape).tolist() == wanted.tolist()


@st.composite
def _views(draw: st.DrawFn) -> tuple[Buffer, View]:
    """A random buffer, on chip or not, and a random view: steps, dropped dims, repeats, order."""
    memory = draw(st.sampled_from([Memory.SBUF, Memory.INPUT]))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    index: list[Index] = []
    kept: list[int] = []
    for dim, extent in enumerate(shape):
        step = draw(st.integers(1, 3)) if dim else 1
        size = draw(st.integers(1, (extent - 1) // step + 1))
        first = draw(st.integers(0, extent - 1 - (size - 1) * step))
        uses_k = first >= 2 and draw(st.booleans())
        start = var("k", 1, first - 2) if uses_k else Affine(const=first)
        downward = dim > 0 and draw(st.booleans())
        last = start + (size - 1) * step
        index.append(
            Index(start=last if downward else start, size=size, step=-step if downward else step)
        )
        if size > 1 or (dim == 0 and memory.on_chip) or draw(st.booleans()):
            kept.append(dim)
    free = [Kept(dim=d) for d in kept if d or not memory.on_chip]
    repeats = [Repeat(size=s) for s in draw(st.lists(st.integers(1, 3), max_size=2))]
    dims = tuple(draw(st.permutations([*free, *repeats])))
    partition = (Kept(dim=0),) if memory.on_chip else ()
    chosen = View(buffer="b", shape=shape, index=tuple(index), dims=(*partition, *dims))
    return buffer("b", shape, memory), chosen


@settings(max_examples=300, deadline=None, derandomize=True)
@given(case=_views())
def test_any_view_selects_what_it_says(case: tuple[Buffer, View]) -> None:
    _check_meaning(*case)


@pytest.mark.parametrize(
    ("of", "wrong", "message"),
    [
        (X, view(X, shape=(8, 24)), "only HBM buffers"),
        (X, View(buffer="x", shape=X.shape, index=(Index(size=8),), dims=()), "1 indices"),
        (X, view(X, dims=(0, 1, 1)), "each at most once"),
        (X, view(X, dims=(1, 0, 2)), "must be the partition"),
        (X, view(X, dims=(0, 1)), "takes 6 positions"),
        (X, view(X, None, var("q")), "loop variable 'q'"),
    ],
)
def test_impossible_views_are_refused(of: Buffer, wrong: View, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        spell_view(wrong, of, of.name, VARS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (Affine(const=-3), "-3"),
        (var("k"), "k"),
        (var("k", 128, 64), "128 * k + 64"),
        (var("k", 2, -1), "2 * k - 1"),
        (var("k", -1, 7), "7 - k"),
        (var("k", -2), "-2 * k"),
        (var("k", -2, -1) + var("n", -1), "-2 * k - n - 1"),
        (var("k", -1) + var("n", 4), "4 * n - k"),
        (Affine(terms=(LoopTerm(var="k", stride=1), LoopTerm(var="k", stride=-1))), "0"),
    ],
)
def test_affine_text(value: Affine | int, text: str) -> None:
    assert affine(value, VARS) == text
    wanted = value if isinstance(value, int) else value.value({"k": 5, "n": 3})
    assert eval(text, {"k": 5, "n": 3}) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Affine(), "False"),
        (Affine(const=1), "True"),
        (var("k"), "(k > 0)"),
        (var("k") + var("n", 2), "(k + 2 * n > 0)"),
        (var("k", 1, -2), "(k > 2)"),
        (var("k", 1, 2), "(k + 2 > 0)"),
    ],
)
def test_accumulate_text(value: Affine, text: str) -> None:
    assert positive_condition(value, VARS) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (2.0, "2.0"),
        (1e-6, "1e-06"),
        (float(np.float32(0.1)), "0.1"),
        (128**-0.5, "0.08838834764831845"),
        (-3.4028234663852886e38, "-3.4028235e+38"),
        (float("-inf"), 'float("-inf")'),
    ],
)
def test_number_text_keeps_the_float32_value(value: float, text: str) -> None:
    assert number(value) == text
    assert np.float32(eval(text)) == np.float32(value)


def test_nan_has_no_literal() -> None:
    with pytest.raises(KernelError, match="nan"):
        number(float("nan"))
