"""The rows of the fuzzer's grammar: each makes one line of a program out of the values so far.

Values are carried along in float64 and in float32, so that a row can ask for positive or small
operands, and a line that cancels catastrophically is not taken.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from tests.fuzz.draft import Draft
from tests.fuzz.places import PLACES
from tests.fuzz.program import Array
from tests.fuzz.row import Domain, Row


def _any(x: Array) -> bool:
    return x.size > 0


def _small(x: Array) -> bool:
    return bool(np.max(np.abs(x)) < 6)


def _positive(x: Array) -> bool:
    return bool(np.min(x) > 0.05)


def _apart(x: Array) -> bool:
    return bool(np.min(np.abs(x)) > 0.1)


def _unary(name: str, text: str, domain: Domain = _any, weight: int = 2) -> Row:
    def make(draft: Draft) -> str | None:
        x = draft.pick(domain)
        return text.format(x) if x else None

    return Row(name=name, make=make, weight=weight)


def _binary(name: str, text: str, second: Domain = _any, weight: int = 3) -> Row:
    def make(draft: Draft) -> str | None:
        a = draft.pick()
        b = draft.partner(a, second) if a else None
        return text.format(a, b) if a and b else None

    return Row(name=name, make=make, weight=weight)


def _number(name: str, text: str, domain: Domain = _any) -> Row:
    def make(draft: Draft) -> str | None:
        x = draft.pick(domain)
        return text.format(x, draft.rng.choice((-2.5, -1.0, 0.125, 0.5, 1.5, 3.0))) if x else None

    return Row(name=name, make=make)


def _reduced(name: str) -> Row:
    def make(draft: Draft) -> str | None:
        x = draft.pick(lambda v: v.ndim > 0)
        if not x:
            return None
        rank = draft.value(x).ndim
        axes = tuple(sorted(draft.rng.sample(range(rank), draft.rng.randint(1, rank))))
        keep = draft.rng.random() < 0.5
        return f"np.{name}({x}, axis={axes}, keepdims={keep})"

    return Row(name=name, make=make)


def _matmul(draft: Draft) -> str | None:
    a = draft.pick(lambda v: 2 <= v.ndim <= 4)
    if not a:
        return None
    k = draft.value(a).shape[-1]
    batch = draft.value(a).shape[:-2] if draft.rng.random() < 0.5 else ()
    b = draft.pick(lambda v: v.ndim >= 2 and v.shape[-2] == k and v.shape[:-2] in ((), batch))
    if not b or draft.rng.random() < 0.3:
        b = draft.new_input((*batch, k, draft.size()))
    return f"{a} @ {b}" if b else None


def _wide(draft: Draft) -> str | None:
    """A weight that is worth a loop over its columns."""
    x = draft.pick(lambda v: v.ndim == 2 and v.shape[0] <= 40 and 64 <= v.shape[1] <= 300)
    w = draft.new_input((draft.value(x).shape[1], 2000), most=600_000) if x else None
    return f"{x} @ {w}" if w else None


def _vector_matmul(draft: Draft) -> str | None:
    a = draft.pick(lambda v: v.ndim == 2)
    if not a:
        return None
    rows, columns = draft.value(a).shape
    if draft.rng.random() < 0.5:
        v = draft.new_input((columns,))
        return f"{a} @ {v}" if v else None
    v = draft.new_input((rows,))
    return f"{v} @ {a}" if v else None


def _gram(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim >= 2)
    if not x:
        return None
    swapped = f"np.swapaxes({x}, -1, -2)"
    return f"{x} @ {swapped}" if draft.rng.random() < 0.5 else f"{swapped} @ {x}"


def _grouped(draft: Draft) -> str | None:
    """Queries of more heads against repeated keys."""
    q = draft.pick(lambda v: v.ndim == 3 and v.shape[0] % 2 == 0)
    if not q:
        return None
    heads, _, width = draft.value(q).shape
    k = draft.new_input((heads // 2, draft.size(), width))
    return f"{q} @ np.swapaxes(np.repeat({k}, 2, axis=0), 1, 2)" if k else None


def _transpose(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim >= 2)
    if not x:
        return None
    order = list(range(draft.value(x).ndim))
    draft.rng.shuffle(order)
    return f"np.transpose({x}, {tuple(order)})"


def _merge(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim >= 2)
    if not x:
        return None
    shape = draft.value(x).shape
    d = draft.rng.randrange(len(shape) - 1)
    return f"np.reshape({x}, {(*shape[:d], shape[d] * shape[d + 1], *shape[d + 2 :])})"


def _divisors(size: int) -> list[int]:
    return [d for d in range(2, size) if size % d == 0]


def _split_dim(draft: Draft) -> str | None:
    x = draft.pick(lambda v: 0 < v.ndim < 4 and any(_divisors(s) for s in v.shape))
    if not x:
        return None
    shape = draft.value(x).shape
    d = draft.rng.choice([i for i, s in enumerate(shape) if _divisors(s)])
    inner = draft.rng.choice(_divisors(shape[d]))
    return f"np.reshape({x}, {(*shape[:d], shape[d] // inner, inner, *shape[d + 1 :])})"


def _reshape(draft: Draft) -> str | None:
    """Any factorisation of the number of elements; most do not nest."""
    x = draft.pick(lambda v: len(_divisors(v.size)) > 1)
    if not x:
        return None
    size = draft.value(x).size
    first = draft.rng.choice(_divisors(size))
    shape: Sequence[int] = (first, size // first)
    return f"np.reshape({x}, {tuple(shape)})"


def _subscript(draft: Draft, size: int) -> str:
    kind = draft.rng.choice(("all", "all", "window", "half", "step", "one"))
    if kind == "one":
        return str(draft.rng.randrange(size))
    if kind == "half" and size % 2 == 0:
        return draft.rng.choice((f":{size // 2}", f"{size // 2}:"))
    if kind in ("window", "step") and size > 2:
        start = draft.rng.randrange(size - 1)
        stop = draft.rng.randint(start + 1, size)
        step = f":{draft.rng.choice((2, 3))}" if kind == "step" else ""
        return f"{start}:{stop}{step}"
    return ":"


def _slice(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    parts = [_subscript(draft, s) for s in draft.value(x).shape]
    return f"{x}[{', '.join(parts)}]" if any(p != ":" for p in parts) else None


def _concatenate(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    shape = draft.value(x).shape
    axis = draft.rng.randrange(len(shape))
    others = shape[:axis] + shape[axis + 1 :]
    y = draft.pick(
        lambda v: v.ndim == len(shape) and v.shape[:axis] + v.shape[axis + 1 :] == others
    )
    pieces = draft.rng.choice((f"{x}, {y}", f"{y}, {x}, {x} * 2.0", f"{x}, {x}"))
    return f"np.concatenate([{pieces}], axis={axis})"


def _halves_swapped(draft: Draft) -> str | None:
    """What rope does to its heads."""
    x = draft.pick(lambda v: v.ndim > 0 and v.shape[-1] % 2 == 0)
    if not x:
        return None
    half = draft.value(x).shape[-1] // 2
    return f"np.concatenate([-{x}[..., {half}:], {x}[..., :{half}]], axis=-1)"


def _stack(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim < 4)
    if not x:
        return None
    shape = draft.value(x).shape
    y = draft.pick(lambda v: v.shape == shape)
    return f"np.stack([{x}, {y}], axis={draft.rng.randint(0, len(shape))})"


def _repeat(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    axis = draft.rng.randrange(draft.value(x).ndim)
    return f"np.repeat({x}, {draft.rng.choice((2, 3))}, axis={axis})"


def _broadcast(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim < 4)
    if not x:
        return None
    shape = tuple(draft.size() if s == 1 else s for s in draft.value(x).shape)
    return f"np.broadcast_to({x}, {(draft.size(), *shape)})"


def _expand(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim < 4)
    if not x:
        return None
    return f"np.expand_dims({x}, {draft.rng.randint(0, draft.value(x).ndim)})"


def _softmax(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    return f"ops.softmax({x}, axis={draft.rng.randrange(draft.value(x).ndim)})" if x else None


def _rms_norm(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    w = draft.new_input(draft.value(x).shape[-1:]) if x else None
    return f"ops.rms_norm({x}, {w})" if w else None


def _triangle(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim >= 2 and max(v.shape[-2:]) > 1)
    if not x:
        return None
    rows, columns = draft.value(x).shape[-2:]
    half, k = draft.rng.choice(("tril", "triu")), draft.rng.randint(-1, 1)
    if draft.rng.random() < 0.5:
        return f"{x} * np.{half}(np.ones(({rows}, {columns}), np.float32), {k})"
    return f"{x} + np.{half}(np.full(({rows}, {columns}), -3.0, np.float32), {k})"


def _constant(draft: Draft) -> str | None:
    x = draft.pick(lambda v: v.ndim > 0)
    if not x:
        return None
    shape = draft.value(x).shape
    shape = shape[draft.rng.randrange(len(shape)) :]
    count = math.prod(shape)
    made = draft.rng.choice(
        (
            f"np.full({shape}, 0.75, np.float32)",
            f"np.cos(np.arange({count}, dtype=np.float32) * 0.37).reshape({shape})",
        )
    )
    typed = f"{made}.astype({x}.dtype)" if draft.rng.random() < 0.5 else made
    return f"{x} {draft.rng.choice('+*')} {typed}"


ROWS: tuple[Row, ...] = (
    _binary("add", "{0} + {1}"),
    _binary("subtract", "{0} - {1}"),
    _binary("multiply", "{0} * {1}", weight=4),
    _binary("maximum", "np.maximum({0}, {1})"),
    _binary("minimum", "np.minimum({0}, {1})"),
    _binary("divide", "{0} / {1}", _apart),
    _number("add number", "{0} + {1}"),
    _number("multiply number", "{0} * {1}"),
    _number("number minus", "{1} - {0}"),
    _number("number over", "{1} / {0}", _apart),
    _number("maximum number", "np.maximum({0}, {1})"),
    _unary("negative", "-{0}"),
    _unary("square", "np.square({0})", _small),
    _unary("cube", "{0} ** 3", _small),
    _unary("abs", "np.abs({0})"),
    _unary("exp", "np.exp({0})", _small),
    _unary("log", "np.log({0})", _positive),
    _unary("sqrt", "np.sqrt({0})", _positive),
    _unary("rsqrt", "ops.rsqrt({0})", _positive),
    _unary("reciprocal", "np.reciprocal({0})", _apart),
    _unary("tanh", "np.tanh({0})"),
    _unary("relu", "ops.relu({0})"),
    _unary("sigmoid", "ops.sigmoid({0})"),
    _unary("positive", "ops.sigmoid({0}) + 0.5"),
    _unary("silu", "ops.silu({0})"),
    _unary("gelu", "ops.gelu({0})", _small, weight=1),
    _unary("gelu by tanh", "ops.gelu({0}, approximate=True)", _small, weight=1),
    *(_reduced(name) for name in ("sum", "max", "min", "mean")),
    Row(name="matmul", make=_matmul, weight=6),
    Row(name="wide matmul", make=_wide, weight=3),
    Row(name="vector matmul", make=_vector_matmul),
    Row(name="gram", make=_gram),
    Row(name="grouped heads", make=_grouped),
    Row(name="transpose", make=_transpose, weight=4),
    Row(name="merge dims", make=_merge),
    Row(name="split dim", make=_split_dim),
    Row(name="reshape", make=_reshape),
    Row(name="slice", make=_slice, weight=4),
    Row(name="concatenate", make=_concatenate, weight=3),
    Row(name="halves swapped", make=_halves_swapped),
    Row(name="stack", make=_stack),
    Row(name="repeat", make=_repeat),
    Row(name="broadcast", make=_broadcast),
    Row(name="expand dims", make=_expand),
    Row(name="softmax", make=_softmax),
    Row(name="rms norm", make=_rms_norm),
    Row(name="triangle", make=_triangle, weight=3),
    Row(name="constant", make=_constant, weight=3),
    *PLACES,
    _unary("widen", "{0}.astype(np.float32)"),
    _unary("narrow", '{0}.astype("bfloat16")', weight=1),
)


def draw(rng: random.Random) -> Row:
    """A row, by weight."""
    return rng.choices(ROWS, [r.weight for r in ROWS])[0]
