"""Rows of the grammar about places: indices, order, scans, writes, integers, windows."""

from __future__ import annotations

from tests.fuzz.draft import Draft
from tests.fuzz.row import Row


def _taken(draft: Draft) -> str | None:
    """Positions of one dim that an input names."""
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    axis = draft.rng.randrange(draft.value(x).ndim)
    rows = draft.whole(draft.rng.choice(((draft.size(),), (2, 3), ())))
    size = draft.value(x).shape[axis]
    return f"np.take({x}, {rows}.astype(np.int32) % {size}, axis={axis})" if rows else None


def _along(draft: Draft, count: int | None = None) -> tuple[str, str, int] | None:
    """A value, indices of its shape but for one dim, and that dim."""
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    shape = draft.value(x).shape
    axis = draft.rng.randrange(len(shape))
    length = count or draft.rng.choice((1, 3, shape[axis]))
    rows = draft.whole((*shape[:axis], length, *shape[axis + 1 :]))
    return (x, f"{rows}.astype(np.int32) % {shape[axis]}", axis) if rows else None


def _taken_along(draft: Draft) -> str | None:
    found = _along(draft)
    return f"np.take_along_axis({found[0]}, {found[1]}, {found[2]})" if found else None


def _put_along(draft: Draft) -> str | None:
    found = _along(draft, draft.rng.choice((1, 2, 9)))
    if not found:
        return None
    x, index, axis = found
    value = draft.rng.choice(("0.75", f"np.take({x}, [0], {axis})"))
    return f"(w := {x}.copy(), np.put_along_axis(w, {index}, {value}, {axis}), w)[-1]"


def _scattered(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    axis = draft.rng.randrange(draft.value(x).ndim)
    size = draft.value(x).shape[axis]
    rows = draft.whole((draft.rng.choice((1, 2, 5)),))
    values = f"np.take({x}, [0], axis={axis}) * 0.5"
    index = f"{rows}.astype(np.int32) % {size}"
    return f"ops.scatter_rows({x}, {index}, {values}, axis={axis})" if rows else None


def _scan(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    scan = draft.rng.choice(("np.cumsum", "np.maximum.accumulate", "np.minimum.accumulate"))
    return f"{scan}({x}, axis={draft.rng.randrange(draft.value(x).ndim)})"


def _sorted(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0 and max(v.shape) <= 300)
    if not x:
        return None
    axis = draft.rng.randrange(draft.value(x).ndim)
    size = draft.value(x).shape[axis]
    count = draft.rng.randint(1, min(size, 10))
    return draft.rng.choice((f"np.sort({x}, axis={axis})", f"ops.topk({x}, {count}, {axis})[0]"))


def _ordered_places(draft: Draft) -> str | None:
    i = draft.whole((draft.rng.choice((1, 3, 130)), draft.rng.choice((2, 9, 64))))
    axis = draft.rng.randrange(2)
    name = draft.rng.choice(("argmax", "argmin", "argsort"))
    kind = ', kind="stable"' if name == "argsort" else ""
    return f"np.{name}({i}, axis={axis}{kind}) * 1.0" if i else None


def _integers(draft: Draft) -> str | None:
    """Integer ops whose results are small."""
    i = draft.whole((draft.size(), draft.rng.choice((1, 7, 33))))
    if not i:
        return None
    a = f"{i}.astype(np.int32)"
    forms = ("({0} * 3 + 1) // 4", "({0} - 7) % 5", "({0} & 6) | 1", "({0} ^ 3) << 2", "{0} >> 1",
             "np.maximum({0}, 2) - {0}", "({0} * 70000) // 65536", "{0}.astype(np.int8) * 5",
             "{0} @ np.swapaxes({0}, 0, 1)", "np.sum({0}, axis=1, keepdims=True)")  # fmt: skip
    return f"({draft.rng.choice(forms).format(a)}) * 0.5"


def _chosen(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    i = draft.whole(draft.value(x).shape) if x else None
    y = draft.rng.choice(("0.25", f"-{x}", f"np.flip({x}, 0)"))
    return f"np.where({i} {draft.rng.choice(('>', '<=', '=='))} 1, {x}, {y})" if i else None


def _written(draft: Draft) -> str | None:
    """A write through a view."""
    x = draft.pick(lambda v: v.ndim > 0 and v.shape[0] > 1)
    if not x:
        return None
    size = draft.value(x).shape[0]
    start = draft.rng.randrange(size - 1)
    window = f"[{start}:{draft.rng.randint(start + 1, size)}]"
    step = draft.rng.choice(("", "[::-1]", "[::2]", ".T"))
    value = draft.rng.choice(("1.5", f"np.tanh({x}{window}{step})"))
    return f"(w := {x}.copy(), np.copyto(w{window}{step}, {value}), w)[-1]"


def _convolved(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim == 3 and v.shape[2] >= 3 and v.shape[1] <= 16)
    if not x:
        return None
    channels = draft.value(x).shape[1]
    w = draft.new_input((draft.rng.choice((1, 5, 16)), channels, 3))
    options = draft.rng.choice(("", ", padding=1", ", stride=2", ", padding=2, dilation=2"))
    return f"ops.conv1d({x}, {w}{options})" if w else None


PLACES: tuple[Row, ...] = (
    Row(name="take", make=_taken),
    Row(name="take along axis", make=_taken_along),
    Row(name="put along axis", make=_put_along),
    Row(name="scatter rows", make=_scattered),
    Row(name="scan", make=_scan),
    Row(name="sort", make=_sorted),
    Row(name="places in order", make=_ordered_places),
    Row(name="integers", make=_integers, weight=3),
    Row(name="choice by integers", make=_chosen),
    Row(name="write through a view", make=_written, weight=3),
    Row(name="convolution", make=_convolved),
)
