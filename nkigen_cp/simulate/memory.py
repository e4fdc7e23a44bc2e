"""The simulator's buffers: true dtypes, poisoned when fresh, with a record of what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nkigen_cp.errors import SimulationError
from nkigen_cp.ir.nki.kernel import Buffer, View
from nkigen_cp.ir.nki.numeric import Array, cast
from nkigen_cp.ir.nki.views import select

# The value AWS's own simulator leaves in uninitialised integer memory (nki_simulator.rst).
_INTEGER_POISON = 4


@dataclass(slots=True, kw_only=True, eq=False)
class Storage:
    """One buffer's contents. ``written`` is the mask of initialised elements; None means all."""

    buffer: Buffer
    values: Array
    written: Array | None

    @staticmethod
    def fresh(buffer: Buffer) -> Storage:
        """Uninitialised memory: NaN, or a fixed integer."""
        poison = np.nan if buffer.dtype.is_float else _INTEGER_POISON
        values = np.full(buffer.shape, poison, buffer.dtype.numpy)
        return Storage(buffer=buffer, values=values, written=np.zeros(buffer.shape, np.bool_))

    @staticmethod
    def holding(buffer: Buffer, values: Array) -> Storage:
        """Memory initialised with ``values``, which must have the buffer's shape and dtype."""
        return Storage(buffer=buffer, values=np.ascontiguousarray(values), written=None)

    def read(self, view: View, env: Mapping[str, int]) -> Array:
        """The addressed elements in result order.

        Raises:
            SimulationError: the view leaves the buffer or an element was never written.
        """
        if self.written is not None:
            mask = select(self.written, view, env)
            if not mask.all():
                missing = mask.size - int(np.count_nonzero(mask))
                raise SimulationError(
                    f"reads buffer {self.buffer.name!r}, where {missing} of the {mask.size} "
                    "elements addressed were never written; write them first"
                )
            if mask.size >= self.written.size and self.written.all():
                self.written = None
        return select(self.values, view, env)

    def write(self, view: View, env: Mapping[str, int], values: Array) -> None:
        """Round ``values`` to the buffer's dtype and store them, in result order.

        Raises:
            SimulationError: the view leaves the buffer, or sizes differ.
        """
        place = select(self.values, view, env)
        stored = cast(values, self.buffer.dtype)
        if stored.size not in (1, place.size):
            raise SimulationError(
                f"writes {stored.size} elements to a view of {self.buffer.name!r} that has "
                f"{place.size}; the operands must have the same size"
            )
        place[...] = stored.reshape(place.shape) if stored.size == place.size else stored.item()
        if self.written is None:
            return
        if place.size == self.values.size:
            self.written = None
        else:
            select(self.written, view, env)[...] = True
