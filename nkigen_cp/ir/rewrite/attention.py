"""Follows masked scores through the attention: the ops that masked positions do not matter to."""

from __future__ import annotations

import enum

from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.masks import KEY, QUERY, CausalMask
from nkigen_cp.ir.rewrite.region import Places, Region, is_own
from nkigen_cp.ir.rewrite.restrict import axis_along, dim_along
from nkigen_cp.ir.tensor.graph import Input, Op, Operand
from nkigen_cp.ir.tensor.table import Family


class _Value(enum.Enum):
    """What is known of an operand: of its masked positions, if it has any."""

    MASKED = enum.auto()  # so negative that their exp is 0
    ZERO = enum.auto()  # exactly 0
    PEAK = enum.auto()  # it has none: the maximum of each row of masked scores
    ROW = enum.auto()  # it has none: some value per query that follows from the scores
    OTHER = enum.auto()  # nothing: the attention does not compute it


_M, _Z, _P, _R, _O = _Value

_OPAQUE = (Family.RESHAPE, Family.COLLECTIVE)
"""Ops whose index maps say nothing of what they read."""

_STEPS: dict[tuple[str, ...], dict[tuple[_Value, ...], _Value]] = {
    ("copy",): {(_M,): _M, (_Z,): _Z, (_P,): _P},
    ("exp",): {(_M,): _Z},
    ("subtract",): {(_M, _P): _M},
    ("multiply",): {(_Z, _R): _Z, (_R, _Z): _Z, (_Z, _O): _Z, (_O, _Z): _Z},
    ("divide",): {(_Z, _R): _Z, (_Z, _O): _Z},
    ("max", KEY): {(_M,): _P},
    ("sum", KEY): {(_Z,): _R},
    ("contract", KEY): {(_Z, _O): _R, (_O, _Z): _R},
}
"""The ops that masked positions do not matter to, by kind and the axis they reduce."""


def attention_region(draft: Draft, found: CausalMask) -> Region | None:
    """The ops from the scores to their products with the values, or None if they are no attention.

    Masked positions matter to none of these ops, and no other op sees a tensor that has them.
    """
    walk = _Walk(draft, found)
    if not walk.downstream():
        return None
    walk.drop_ends()
    walk.upstream(found.op)
    masked = (t for t, places in walk.region.tensors.items() if KEY in places)
    return walk.region if all(is_own(draft, walk.region, t) for t in masked) else None


class _Walk:
    """Builds the region: from the mask down to where the keys are reduced, then up to the scores.

    Ops on single values per query come along as far as masked positions meet their results.
    """

    def __init__(self, draft: Draft, found: CausalMask) -> None:
        self.region = Region()
        self._draft = draft
        self._found = found
        self._values: dict[str, _Value] = {}

    def downstream(self) -> bool:
        """Take in the mask and whatever follows; False if masked positions matter somewhere."""
        return self._take(self._found.op, self._found.axes, _M) and all(
            self._follow(op)
            for op in self._draft
            if any(o.tensor in self._values for o in op.operands)
        )

    def _follow(self, op: Op) -> bool:
        axes = self._axes(op)
        known = tuple(self._known(i) for i in op.inputs)
        has_masked = _M in known or _Z in known
        if axes is None:
            return not has_masked
        is_reduced = KEY in axes and op.axes[axes[KEY]].reduced
        step = (op.kind, KEY) if is_reduced else (op.kind,)
        value = _STEPS.get(step, {}).get(known, None if has_masked else _R)
        return value is not None and self._take(op, axes, value)

    def _known(self, value: Input) -> _Value:
        return self._values.get(value.tensor, _O) if isinstance(value, Operand) else _O

    def _axes(self, op: Op) -> Places | None:
        """Where queries and keys run in a reader of the region; None unless its operands agree."""
        axes: Places = {}
        for operand in op.operands:
            for name, dim in self.region.tensors.get(operand.tensor, {}).items():
                axis = axis_along(op, operand, self._draft.tensors[operand.tensor], dim)
                if axis is None or axes.setdefault(name, axis) != axis:
                    return None
        is_opaque = self._draft.family(op) in _OPAQUE
        return None if is_opaque or op.axes[axes[QUERY]].reduced else axes

    def _take(self, op: Op, axes: Places, value: _Value) -> bool:
        """Add an op, and its result if they run one to one along it, as masked values must."""
        self.region.ops[op.name] = axes
        out = op.outputs[0]
        held = self._draft.tensors[out.tensor]
        lost = op.axes[axes[KEY]].reduced if KEY in axes else False
        kept = {n: a for n, a in axes.items() if n == QUERY or not lost}
        found = {name: dim_along(op, out, held, axis) for name, axis in kept.items()}
        dims = {name: dim for name, dim in found.items() if dim is not None}
        if len(dims) < len(found) or self._draft.producer(out.tensor) is None:
            return KEY not in kept
        self.region.tensors[out.tensor] = dims
        self._values[out.tensor] = value
        return True

    def drop_ends(self) -> None:
        """Leave out what follows the attention: results that never meet masked positions."""
        needed: set[str] = set()
        for name, axes in reversed(tuple(self.region.ops.items())):
            op = self._draft.ops[name]
            if KEY in axes or op.outputs[0].tensor in needed:
                needed.update(o.tensor for o in op.operands)
            else:
                del self.region.ops[name]
                self.region.tensors.pop(op.outputs[0].tensor, None)

    def upstream(self, reader: Op) -> None:
        """Take in the producers of scores that nobody else reads, up to the contraction."""
        for operand in reader.operands:
            held, writer = self._draft.tensors[operand.tensor], self._draft.producer(operand.tensor)
            if writer is None or self._draft.family(writer) in _OPAQUE:
                continue
            dims: Places = {}
            axes: Places = {}
            for name, read in self.region.ops[reader.name].items():
                dim = dim_along(reader, operand, held, read)
                axis = None if dim is None else axis_along(writer, writer.outputs[0], held, dim)
                if dim is not None and axis is not None:
                    dims[name], axes[name] = dim, axis
            if len(axes) == 2 and operand.tensor not in self.region.tensors:
                self._take_scores(writer, operand.tensor, axes, dims)

    def _take_scores(self, writer: Op, tensor: str, axes: Places, dims: Places) -> None:
        self.region.ops[writer.name], self.region.tensors[tensor] = axes, dims
        if is_own(self._draft, self.region, tensor):
            self.upstream(writer)
        else:
            del self.region.ops[writer.name], self.region.tensors[tensor]
