"""An op about to be recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Attr, DimIndex

Index = tuple[DimIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An operand: a traced tensor and its index map."""

    tensor: TracedTensor
    index: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An op to record: a row over iteration axes of these sizes, the result addressed by ``index``.

    ``inputs`` that are numbers are immediates; ``reduced`` and ``whole`` are positions of axes.
    """

    kind: str
    sizes: Sequence[int]
    inputs: Sequence[Read | float | int]
    index: Index
    reduced: Sequence[int] = ()
    whole: Sequence[int] = ()
    attrs: Mapping[str, Attr] = field(default_factory=dict[str, Attr])

    @property
    def reads(self) -> list[Read]:
        return [i for i in self.inputs if isinstance(i, Read)]
