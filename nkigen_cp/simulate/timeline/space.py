"""On-chip memory as amounts that become free when tiles die."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import NamedTuple

from nkigen_cp.simulate.timeline.tiles import Leap

# More pieces of free space than this are joined, the oldest first: they are free anyway.
_PIECES = 128
_LAST = 1 << 62


class Piece(NamedTuple):
    """``amount`` of memory, free from ``time`` on; ``lane`` and ``event`` freed it."""

    time: float
    lane: int
    event: int
    amount: int


class Pool:
    """Memory of one kind: SBUF in bytes per partition, PSUM in banks."""

    def __init__(self, capacity: int) -> None:
        self.pieces = [Piece(time=0.0, lane=-1, event=-1, amount=capacity)]

    def take(self, amount: int, start: float) -> Piece:
        """Take memory for a tile; returns the piece that becomes free last.

        ``start`` is until when memory may become free without holding up the tile. Memory free by
        then is taken first, the youngest of it, so that older space stays
        for loads that run ahead. A kernel that exceeds the memory waits for all there is.
        """
        pieces = self.pieces
        k = bisect_right(pieces, (start, _LAST))
        last = Piece(time=0.0, lane=-1, event=-1, amount=0)
        while amount and pieces:
            k = max(0, k - 1)
            piece = pieces[k]
            last = max(last, piece, key=_time)
            if piece.amount > amount:
                pieces[k] = piece._replace(amount=piece.amount - amount)
                break
            amount -= piece.amount
            del pieces[k]
        return last

    def put(self, piece: Piece) -> None:
        """Give memory back."""
        insort(self.pieces, piece)
        if len(self.pieces) > _PIECES:
            first, second = self.pieces[:2]
            self.pieces[:2] = [second._replace(amount=first.amount + second.amount)]

    def leap(self, leap: Leap) -> None:
        """Account for iterations that are not simulated."""
        self.pieces = sorted(
            p
            if p.event < leap.since
            else p._replace(time=p.time + leap.periods * leap.period_ns[p.lane], event=leap.event)
            for p in self.pieces
        )


def _time(piece: Piece) -> float:
    return piece.time
