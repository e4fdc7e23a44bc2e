"""Applies the rules: finds the first that fits an op and builds its template in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nkigen_cp.ir.dtypes import BOOL, FLOAT32, DType, dtype
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.index import plain_dims, renumber, used_axes
from nkigen_cp.ir.rewrite.pattern import Fold, Match, Node, Pattern, Rule, Var, matches
from nkigen_cp.ir.rewrite.rules import CONDITIONS, RULES
from nkigen_cp.ir.tensor.graph import Attr, Immediate, Input, Op, Operand, Tensor, identity_index
from nkigen_cp.ir.tensor.promotion import result_dtype
from nkigen_cp.ir.tensor.table import OPS, Family, Result

_REDUCING = (Family.REDUCE, Family.CONTRACT)


def apply_rules(draft: Draft, rules: Sequence[Rule] = RULES) -> None:
    """Rewrite every op by the first rule that fits it until none does, producers first."""
    by_kind: dict[str, list[Rule]] = {}
    for rule in rules:
        by_kind.setdefault(rule.pattern.kind, []).append(rule)
    for op in draft:
        _settle(op.name, draft, by_kind)


def _settle(name: str, draft: Draft, by_kind: Mapping[str, list[Rule]]) -> None:
    """Rewrite one op, and the ops its rewriting introduces, until no rule fits."""
    while (found := _first_match(draft.ops[name], draft, by_kind)) is not None:
        rule, match = found
        for introduced in build(rule.template, match):
            _settle(introduced, draft, by_kind)


def _first_match(
    op: Op, draft: Draft, by_kind: Mapping[str, list[Rule]]
) -> tuple[Rule, Match] | None:
    for rule in by_kind.get(op.kind, ()):
        for match in matches(rule, op, draft):
            if all(CONDITIONS[condition](match) for condition in rule.when):
                return rule, match
    return None


@dataclass(slots=True)
class _Builder:
    """Builds one template in front of the matched op; equal sub-trees are built once.

    Templates share sub-trees by the thousand: each is visited once, told by its identity, and ops
    are equal if they do the same with the same inputs. Hashing whole trees would never end.
    """

    match: Match
    visited: dict[int, Input] = field(default_factory=dict[int, Input])
    built: dict[tuple[str, str, tuple[Input, ...]], Input] = field(
        default_factory=dict[tuple[str, str, tuple[Input, ...]], Input]
    )
    introduced: list[str] = field(default_factory=list[str])

    def value(self, template: Pattern) -> Input:
        """The input that a template stands for, in the root's axes."""
        if isinstance(template, Node):
            if id(template) not in self.visited:
                inputs = tuple(self.value(a) for a in template.args)
                key = (template.kind, template.dtype, inputs)
                if key not in self.built:
                    known = _computed(template.kind, inputs)
                    self.built[key] = known or self.introduce(template, inputs)
                self.visited[id(template)] = self.built[key]
            return self.visited[id(template)]
        if isinstance(template, Fold):
            numbers = [self.match.number(n) for n in template.names]
            return Immediate(value=template.compute(*numbers))
        return self.match.captures[template.name]

    def introduce(self, template: Node, inputs: tuple[Input, ...]) -> Operand:
        """Add an op over exactly the axes that its inputs use, and return how the root reads it."""
        draft, root = self.match.draft, self.match.root
        operands = tuple(i for i in inputs if isinstance(i, Operand))
        reduces = OPS[template.kind].family in _REDUCING
        reduced = [n for n, a in enumerate(root.axes) if a.reduced and reduces]
        used = (a for o in operands for a in used_axes(o.index))
        axes = sorted(dict.fromkeys((*used, *reduced)))
        dims = self._result_dims(operands, [a for a in axes if a not in reduced])
        stem = f"{root.outputs[0].tensor}_{template.kind}"
        kind = dtype(template.dtype) if template.dtype else self._dtype(template.kind, inputs)
        like = self._tensor(dims, kind)
        tensor = draft.new_tensor(stem, like)
        numbers = {old: new for new, old in enumerate(axes)}
        read = Operand(tensor=tensor, index=identity_index(dims))
        written = renumber(read, numbers)
        assert isinstance(written, Operand)
        op = Op(
            name=draft.new_op_name(f"{root.name}_{template.kind}"),
            kind=template.kind,
            axes=tuple(replace(root.axes[a], reduced=a in reduced) for a in axes),
            inputs=tuple(renumber(i, numbers) for i in inputs),
            outputs=(written,),
            attrs=_attributes(template.kind, kind),
            source=root.source,
        )
        draft.add(op, before=root.name)
        self.introduced.append(op.name)
        return read

    def _dtype(self, kind: str, inputs: Sequence[Input]) -> DType:
        """What an op between the operands and the result computes in: floats are not rounded."""
        row, result = OPS[kind], self.match.result
        if row.result is not Result.BOOL and result is not BOOL:
            return FLOAT32 if result.is_float else result
        dtypes = [self.match.draft.dtype(i.tensor) for i in inputs if isinstance(i, Operand)]
        numbers = [i.value for i in inputs if isinstance(i, Immediate)]
        found = result_dtype(row, dtypes, numbers)
        return FLOAT32 if found.is_float else found

    def _result_dims(self, operands: Sequence[Operand], axes: Sequence[int]) -> Sequence[int]:
        """The axis over each dim of a new tensor: the dims of the operand if it is read whole."""
        draft, root = self.match.draft, self.match.root
        for operand in operands:
            dims = plain_dims(operand, draft.tensors[operand.tensor], root.axes)
            if dims is None:
                continue
            kept = tuple(d if d in axes else -1 for d in dims)
            if sorted(d for d in kept if d >= 0) == [a for a in axes if root.axes[a].size != 1]:
                return kept
        return axes

    def _tensor(self, dims: Sequence[int], dtype: DType) -> Tensor:
        axes = self.match.root.axes
        return Tensor(
            name="",
            shape=tuple(1 if d < 0 else axes[d].size for d in dims),
            dtype=dtype,
            axes=tuple(f"d{k}" if d < 0 else axes[d].name for k, d in enumerate(dims)),
        )


def _computed(kind: str, inputs: Sequence[Input]) -> Immediate | None:
    """What an op makes of numbers alone."""
    values = [i.value for i in inputs if isinstance(i, Immediate)]
    numbers = [np.float32(v) if isinstance(v, float) else v for v in values]
    if len(numbers) < len(inputs):
        return None
    with np.errstate(all="ignore"):
        found = np.asarray(OPS[kind].meaning(*numbers)).item()
    return Immediate(value=int(found) if isinstance(found, bool) else found)


def _attributes(kind: str, result: DType) -> dict[str, Attr]:
    return {"dtype": result.name} if OPS[kind].result is Result.GIVEN else {}


def build(template: Node | Var, match: Match) -> list[str]:
    """Put a template in place of the matched op; names the ops it introduces."""
    builder = _Builder(match)
    root = match.root
    if isinstance(template, Var):
        kind, inputs = "copy", (match.captures[template.name],)
    else:
        kind, inputs = template.kind, tuple(builder.value(a) for a in template.args)
    reduces = OPS[kind].family in _REDUCING
    kept = [n for n, a in enumerate(root.axes) if reduces or not a.reduced]
    numbers = {old: new for new, old in enumerate(kept)}
    outputs = tuple(renumber(o, numbers) for o in root.outputs)
    match.draft.replace(
        Op(
            name=root.name,
            kind=kind,
            axes=tuple(root.axes[n] for n in kept),
            inputs=tuple(renumber(i, numbers) for i in inputs),
            outputs=tuple(o for o in outputs if isinstance(o, Operand)),
            attrs=_attributes(kind, match.result),
            source=root.source,
        )
    )
    return builder.introduced
