"""Rewrite rules as values, and the one matcher that reads them.

A pattern is a small tree over op kinds. It matches a tree of elementwise ops that all run over the
same iteration box as the op at its root; whatever a variable captures is expressed in the root's
axes. A template is the same kind of tree over the captured variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nkigen_cp.ir.dtypes import DType
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import align, same_input, substitute
from nkigen_cp.ir.tensor.graph import Axis, Immediate, Input, Op, Operand
from nkigen_cp.ir.tensor.table import OPS, Family


@dataclass(frozen=True, slots=True)
class Var:
    """Any input; the same variable twice means the same tensor read the same way."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """An Immediate; with ``value``, one equal to it to about float32 accuracy."""

    name: str
    value: float | None = None

    def accepts(self, value: float) -> bool:
        if self.value is None:
            return True
        return math.isclose(value, self.value, rel_tol=1e-7, abs_tol=0.0)


@dataclass(frozen=True, slots=True)
class Fold:
    """In a template: the Immediate computed from captured Immediates."""

    compute: Callable[..., float]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """An op of a kind over sub-trees; in a template, ``dtype`` may say what its result is."""

    kind: str
    args: tuple[Pattern, ...]
    dtype: str = ""


Pattern = Var | Number | Fold | Node
Captures = Mapping[str, Input]


def node(kind: str, *args: Pattern, dtype: str = "") -> Node:
    """Shorthand: ``node("exp", Var("x"))``."""
    return Node(kind, args, dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a pattern found: the op at its root and the captured inputs in the root's axes."""

    draft: Draft
    root: Op
    captures: Captures

    def number(self, name: str) -> float | int:
        """The value of a captured Immediate."""
        value = self.captures[name]
        assert isinstance(value, Immediate)
        return value.value

    @property
    def result(self) -> DType:
        """The dtype the root rounds its result to."""
        return self.draft.dtype(self.root.outputs[0].tensor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Replace what ``pattern`` matches by ``template`` if every named condition holds.

    Besides the variables, ``count`` is captured: the number of elements that the root reduces.
    """

    name: str
    pattern: Node
    template: Node | Var
    when: tuple[str, ...] = ()


def matches(rule: Rule, root: Op, draft: Draft) -> Iterator[Match]:
    """Every way in which a rule's pattern fits at an op, before its conditions are asked."""
    if root.kind != rule.pattern.kind or len(root.outputs) != 1:
        return
    count = math.prod(a.size for a in root.axes if a.reduced)
    start: Captures = {"count": Immediate(value=count)}
    for captures in _fit_args(rule.pattern, root.inputs, start, _Scope(draft, root.axes)):
        yield Match(draft=draft, root=root, captures=captures)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What every step of one match shares."""

    draft: Draft
    axes: tuple[Axis, ...]


def _fit(pattern: Pattern, value: Input, captures: Captures, scope: _Scope) -> Iterator[Captures]:
    if isinstance(pattern, Var):
        if pattern.name not in captures:
            yield {**captures, pattern.name: value}
        elif same_input(captures[pattern.name], value, scope.axes):
            yield captures
    elif isinstance(pattern, Number):
        if isinstance(value, Immediate) and pattern.accepts(value.value):
            yield {**captures, pattern.name: value}
    elif isinstance(pattern, Node) and isinstance(value, Operand):
        inputs = _inputs_behind(value, pattern.kind, scope)
        if inputs is not None:
            yield from _fit_args(pattern, inputs, captures, scope)


def _fit_args(
    pattern: Node, inputs: Sequence[Input], captures: Captures, scope: _Scope
) -> Iterator[Captures]:
    yield from _fit_all(pattern.args, inputs, captures, scope)
    if OPS[pattern.kind].commutative:
        yield from _fit_all(pattern.args, inputs[::-1], captures, scope)


def _fit_all(
    patterns: Sequence[Pattern], inputs: Sequence[Input], captures: Captures, scope: _Scope
) -> Iterator[Captures]:
    if not patterns:
        yield captures
        return
    for found in _fit(patterns[0], inputs[0], captures, scope):
        yield from _fit_all(patterns[1:], inputs[1:], found, scope)


def _inputs_behind(read: Operand, kind: str, scope: _Scope) -> tuple[Input, ...] | None:
    """The inputs, in the root's axes, of the op behind an operand if it may be looked through."""
    draft = scope.draft
    inner = draft.producer(read.tensor)
    if inner is None or inner.kind != kind or draft.family(inner) is not Family.ELEMENTWISE:
        return None
    if _rounds_on_purpose(inner, draft):
        return None
    by = align(inner, draft.tensors[read.tensor], read, scope.axes)
    if by is None:
        return None
    return tuple(
        i if isinstance(i, Immediate) else replace(i, index=substitute(i.index, by))
        for i in inner.inputs
    )


def _rounds_on_purpose(op: Op, draft: Draft) -> bool:
    """Whether an op writes a narrower float than it reads, as it does after an absorbed cast.

    Looking through it would drop a rounding that the program asks for.
    """
    result = draft.dtype(op.outputs[0].tensor)
    reads = (draft.dtype(o.tensor) for o in op.operands)
    return any(r.is_float and r.size_bytes > result.size_bytes for r in reads)
