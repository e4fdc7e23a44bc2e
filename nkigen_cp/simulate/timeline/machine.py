"""The engines: each executes its instructions in program order as soon as nothing holds them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Buffer, Memory
from nkigen_cp.simulate.timeline.dma import Dma
from nkigen_cp.simulate.timeline.program import LANES, LOAD, STORE, Block, Step
from nkigen_cp.simulate.timeline.regions import Geometry
from nkigen_cp.simulate.timeline.space import Piece, Pool
from nkigen_cp.simulate.timeline.state import NEVER, Event, Mark, Reason, Wait
from nkigen_cp.simulate.timeline.tiles import Leap, Tile
from nkigen_cp.targets.target import Target


class Machine:
    """State of a run. Every time in it belongs to a lane, so that loops can be extrapolated.

    ``free`` is when a compute lane takes its next instruction, or a DMA lane's last end. Buffers
    with ``owners`` have a tile per value of that loop variable, ``living`` of them at a time.
    """

    def __init__(
        self, target: Target, tracked: Iterable[str], owners: Mapping[str, str] | None = None
    ) -> None:
        self.target = target
        self.dma = Dma(target.dma)
        self.free = [0.0] * len(LANES)
        self.latest = [-1] * len(LANES)
        self.busy = [0.0] * len(LANES)
        self.load_issued = 0.0
        self.instructions = 0
        self.events: list[Event] = []
        self.tiles: dict[tuple[str, int], Tile] = {}
        self.living: Counter[str] = Counter()
        self.owners = owners or {}
        self.amounts: dict[str, int] = {}
        self.past: dict[str, deque[Piece]] = {}
        self.geometry = {name: Geometry() for name in tracked}
        self.pools = {
            Memory.SBUF: Pool(target.sbuf_partition_bytes),
            Memory.PSUM: Pool(target.psum_banks),
        }
        facts = [target.engines.get(lane) for lane in LANES]
        drain = [f.write_drain_ns if f else 0.0 for f in facts]
        self.wake = [f.sem_to_start_ns if f else 0.0 for f in facts]
        self.drain = drain
        self.delays = [[self._delay(p, c) for p in LANES] for c in LANES]

    @property
    def latency_ns(self) -> float:
        """When the last lane is free."""
        return max(self.free)

    def _delay(self, producer: str, consumer: str) -> float:
        """From the end of one instruction to the start of another that depends on it.

        Within an engine only the gap separates them; matmuls pipeline, their sums add up in PSUM.
        Nothing else adds the gap: independent instructions follow each other without it.
        """
        before, after = (self.target.engines.get(lane) for lane in (producer, consumer))
        if before is not None and producer == consumer:
            return NEVER if producer == "tensor" else before.gap_ns
        drain = before.write_drain_ns if before else 0.0
        return drain + (after.sem_to_start_ns if after else 0.0)

    def allocate(self, buffer: Buffer, env: Mapping[str, int]) -> None:
        """A fresh tile; it takes its space when it is touched first."""
        if buffer.name in self.geometry:
            geometry = self.geometry[buffer.name]
            at = self._at(buffer.name, env)
            self.tiles[buffer.name, at] = Tile(buffer, geometry, self._amount(buffer))

    def _at(self, name: str, env: Mapping[str, int]) -> int:
        """Which tile of a buffer is meant."""
        owner = self.owners.get(name)
        return env[owner] if owner else 0

    def _amount(self, buffer: Buffer) -> int:
        known = self.amounts.get(buffer.name)
        if known is None:
            known = buffer.partition_bytes
            if buffer.memory is Memory.PSUM:
                known = -(-known // self.target.psum_bank_bytes)
            self.amounts[buffer.name] = known
        return known

    def execute(self, step: Step, env: Mapping[str, int]) -> None:
        """Run one instruction."""
        lane = step.lane
        wait = self._begin(lane)
        touched: list[tuple[Tile, int]] = []
        fresh: list[Tile] = []
        for access in step.accesses:
            tile = self.tiles.get((access.buffer, env[access.owner] if access.owner else 0))
            if tile is None:
                raise KernelError(
                    f"{step.instruction.label} uses buffer {access.buffer!r} where it is not "
                    "allocated"
                )
            place = tile.geometry.place(access, env)
            tile.await_turn(access, place, self.delays[lane], wait)
            touched.append((tile, place))
            if not tile.placed:
                tile.placed = True
                fresh.append(tile)
        for tile in fresh:
            self._place(tile, lane, wait)
        event = len(self.events)
        if step.transfer is None:
            start, end = wait.time, wait.time + step.work_ns
            self.free[lane] = start + step.work_ns
            self.busy[lane] += step.work_ns
        else:
            start, end = self._transfer(step, env, wait)
            self.free[lane] = max(self.free[lane], end)
        for (tile, place), access in zip(touched, step.accesses, strict=True):
            tile.note(place, Mark(end, lane, event, access))
        self.events.append(Event(step, start, end, wait.reason, wait.before))
        self.latest[lane] = event
        self.instructions += 1

    def _begin(self, lane: int) -> Wait:
        if lane == STORE:
            return Wait(0.0, Reason.BEGIN, -1)
        before = self.latest[lane]
        time, reason = (
            (self.load_issued, Reason.ORDER) if lane == LOAD else (self.free[lane], Reason.ENGINE)
        )
        return Wait(time, reason if before >= 0 else Reason.BEGIN, before)

    def _transfer(self, step: Step, env: Mapping[str, int], wait: Wait) -> tuple[float, float]:
        transfer = step.transfer
        assert transfer is not None
        partition = transfer.partition.value(env)
        shares = self.dma.shares(partition, transfer.partitions, transfer.busy_ns)
        service = self.dma.serve(wait.time, shares)
        if step.lane == LOAD:
            self.load_issued = service.issued
        before = self.latest[step.lane]
        wait.until(service.issued, Reason.QUEUE, before)
        if service.begin > service.ready and before >= 0:
            wait.reason, wait.before = Reason.BANDWIDTH, before
        return service.issued, service.end

    def _place(self, tile: Tile, lane: int, wait: Wait) -> None:
        """Wait until the buffer has a free copy and memory has room."""
        buffer = tile.buffer
        past = self.past.get(buffer.name)
        others = buffer.copies - self.living[buffer.name]
        self.living[buffer.name] += 1
        if past is not None and 0 < others <= len(past):
            oldest = past[-others]
            wait.until(oldest.time + self._signal(oldest.lane, lane), Reason.COPIES, oldest.event)
        pool = self.pools.get(buffer.memory)
        if pool is not None:
            piece = pool.take(tile.amount, wait.time - self.wake[lane])
            wait.until(piece.time + self._signal(piece.lane, lane), Reason.SPACE, piece.event)

    def _signal(self, producer: int, consumer: int) -> float:
        """From the drained end of ``producer`` to the start of ``consumer``."""
        if producer < 0:
            return NEVER
        return self.wake[consumer] if producer != consumer else -self.drain[producer]

    def bury(self, block: Block, position: int, env: Mapping[str, int]) -> None:
        """Free the tiles that the statement at ``position`` touched last."""
        for name in block.dying[position]:
            key = name, self._at(name, env)
            tile = self.tiles.get(key)
            if tile is None or not tile.ends:
                continue
            last = max(tile.ends.values(), key=lambda m: m.time + self.drain[m.lane])
            piece = Piece(
                time=last.time + self.drain[last.lane],
                lane=last.lane,
                event=last.event,
                amount=tile.amount,
            )
            past = self.past.setdefault(name, deque(maxlen=tile.buffer.copies))
            past.append(piece)
            pool = self.pools.get(tile.buffer.memory)
            if pool is not None:
                pool.put(piece)
            self.living[name] -= tile.placed
            del self.tiles[key]

    def leap(self, leap: Leap, note: str, busy: list[float], rings: list[float]) -> None:
        """Account for iterations that are not simulated: ``busy`` per lane, ring time per ring."""
        start, before = max(zip(self.free, self.latest, strict=True))
        for lane, period in enumerate(leap.period_ns):
            if self.latest[lane] >= leap.since:
                self.free[lane] += leap.periods * period
                self.latest[lane] = leap.event
            self.busy[lane] += busy[lane]
        self.load_issued += leap.periods * leap.period_ns[LOAD]
        self.events.append(Event(None, start, max(self.free), Reason.STEADY, before, note))
        for tile in self.tiles.values():
            tile.leap(leap)
        jump = leap.periods * leap.stride
        self.tiles = {
            (name, at + jump if self.owners.get(name) == leap.var else at): tile
            for (name, at), tile in self.tiles.items()
        }
        for pool in self.pools.values():
            pool.leap(leap)
        for past in self.past.values():
            for k, piece in enumerate(past):
                if piece.event >= leap.since:
                    time = piece.time + leap.periods * leap.period_ns[piece.lane]
                    past[k] = piece._replace(time=time, event=leap.event)
        self.dma.leap(rings)
