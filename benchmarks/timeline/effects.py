"""Kernels that differ only in the order of their instructions: attention, matmul blocks, one load.

They follow the decisions of hand-tuned kernels (see ``published.py``); sizes are those of the
hand-tuned ones, except that attention runs 4 of the 16 heads, which are alike.
"""

from __future__ import annotations

from benchmarks.timeline.draft import Draft, window
from benchmarks.timeline.kernels import COLUMNS, ROWS
from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.kernel import Buffer, Kernel, Memory

HEADS, TOKENS, DEPTH = 4, 2048, 128
KEYS = TOKENS // ROWS


class _Attention:
    """exp(scores) without the maximum; keys lie on the partitions, a column of ones sums them."""

    def __init__(self, distance: int) -> None:
        self.draft = d = Draft(f"attention_{distance}")
        across, along = (HEADS, DEPTH, TOKENS), (HEADS, TOKENS, DEPTH + 1)
        self.q = d.border("qT", across, Memory.INPUT)
        self.k = d.border("kT", across, Memory.INPUT)
        self.v = d.border("v_ones", along, Memory.INPUT)
        self.out = d.border("out", (HEADS, TOKENS, DEPTH), Memory.OUTPUT)
        self.operands = [self.load(h) for h in range(HEADS)]
        self.sums: list[Buffer] = []
        self.weights: dict[int, Buffer] = {}

    def load(self, head: int) -> tuple[Buffer, Buffer, Buffer]:
        """Queries and keys of a head as (128, tokens), values as (128, key tiles, 129)."""
        d = self.draft
        q, k = d.tile("q", (DEPTH, TOKENS)), d.tile("k", (DEPTH, TOKENS))
        v = d.tile("v", (ROWS, KEYS, DEPTH + 1))
        split = (HEADS, KEYS, ROWS, DEPTH + 1)
        for piece in range(4):
            part = (piece * COLUMNS, COLUMNS)
            for tile, source in ((k, self.k), (q, self.q)):
                rows = window(source, (head, 1), None, part, order=(1, 2))
                d.dma(window(tile, None, part), rows)
            tiles = (piece * 4, 4)
            rows = window(self.v, (head, 1), tiles, None, None, shape=split, order=(2, 1, 3))
            d.dma(window(v, None, tiles, None), rows)
        return q, k, v

    def scores(self, step: int) -> None:
        """Scores of 128 keys and 512 queries, and their exponentials."""
        d, (block, key) = self.draft, divmod(step, KEYS)
        head, query = divmod(block, TOKENS // COLUMNS)
        q, k, _ = self.operands[head]
        bank = d.bank("scores", COLUMNS)
        left, right = (key * ROWS, ROWS), (query * COLUMNS, COLUMNS)
        d.matmul(window(bank), window(k, None, left), window(q, None, right), False)
        self.weights[step] = exps = d.tile("exps", (ROWS, COLUMNS))
        d.emit("activation", "scalar", dst=window(exps), op="exp", data=window(bank))

    def values(self, step: int) -> None:
        """The weighted sum of values over these keys, for four tiles of queries."""
        d, (block, key) = self.draft, divmod(step, KEYS)
        if not key:
            shape = (ROWS, 2, DEPTH + 1)
            self.sums = [d.tile("sums", shape, FLOAT32, Memory.PSUM) for _ in range(2)]
        v = self.operands[block // (TOKENS // COLUMNS)][2]
        exps = self.weights.pop(step)
        for tile in range(4):
            d.matmul(
                window(self.sums[tile // 2], None, (tile % 2, 1), None),
                window(exps, None, (tile * ROWS, ROWS)),
                window(v, None, (key, 1), None),
                bool(key),
            )
        if key == KEYS - 1:
            self.finish(block)

    def finish(self, block: int) -> None:
        """Divide by the sums and store."""
        d, (head, query) = self.draft, divmod(block, TOKENS // COLUMNS)
        result = d.tile("result", (ROWS, 4, DEPTH))
        for pair, sums in enumerate(self.sums):
            inverse = d.tile("inverse", (ROWS, 2, 1), FLOAT32)
            total = window(sums, None, None, (DEPTH, 1))
            d.emit("reciprocal", "vector", dst=window(inverse), data=total)
            for half in range(2):
                d.emit(
                    "tensor_scalar",
                    "vector",
                    dst=window(result, None, (pair * 2 + half, 1), None),
                    data=window(sums, None, (half, 1), (0, DEPTH)),
                    op0="multiply",
                    operand0=window(inverse, None, (half, 1), None),
                )
        split = (HEADS, TOKENS // ROWS, ROWS, DEPTH)
        rows = window(self.out, (head, 1), (query * 4, 4), shape=split, order=(2, 1, 3))
        d.dma(rows, window(result))


def attention(distance: int) -> Kernel:
    """Scores of step s + ``distance`` are issued before the values of step s."""
    a = _Attention(distance)
    steps = HEADS * (TOKENS // COLUMNS) * KEYS
    for step in range(steps + distance):
        if step < steps:
            a.scores(step)
        if step >= distance:
            a.values(step - distance)
    return a.draft.kernel()


SIDE, TALL, WIDE = 2048, 512, 1024
TILES = SIDE // ROWS


class _Blocks:
    """2048^3 bf16 in blocks of 512 x 1024, which take all PSUM banks."""

    def __init__(self, name: str, engines: tuple[str, ...]) -> None:
        self.draft = d = Draft(name)
        self.engines = engines
        self.lhs = d.border("lhsT", (SIDE, SIDE), Memory.INPUT)
        self.rhs = d.border("rhs", (SIDE, SIDE), Memory.INPUT)
        self.out = d.border("out", (SIDE, SIDE), Memory.OUTPUT)
        self.left = [d.tile("left", (ROWS, TILES, TALL)) for _ in range(SIDE // TALL)]
        self.right = [d.tile("right", (ROWS, TILES, WIDE)) for _ in range(SIDE // WIDE)]

    def load(self, row: int, column: int, k: int) -> None:
        """What block (row, column) needs for k tile ``k`` and no block before it had."""
        for fresh, source, tile, first in (
            (not column, self.lhs, self.left[row], row * TALL),
            (not row, self.rhs, self.right[column], column * WIDE),
        ):
            if fresh:
                part = (first, tile.shape[2])
                rows = window(source, (k * ROWS, ROWS), part)
                self.draft.dma(window(tile, None, (k, 1), None), rows)

    def multiply(self, bank: Buffer, row: int, column: int, tile: int, k: int) -> None:
        m, n = divmod(tile, WIDE // COLUMNS)
        self.draft.matmul(
            window(bank),
            window(self.left[row], None, (k, 1), (m * ROWS, ROWS)),
            window(self.right[column], None, (k, 1), (n * COLUMNS, COLUMNS)),
            bool(k),
        )

    def evict(self, bank: Buffer, row: int, column: int, tile: int) -> None:
        m, n = divmod(tile, WIDE // COLUMNS)
        result = self.draft.tile("result", (ROWS, COLUMNS))
        engine = self.engines[tile % len(self.engines)]
        self.draft.copy(engine, window(result), window(bank))
        at = (row * TALL + m * ROWS, ROWS), (column * WIDE + n * COLUMNS, COLUMNS)
        self.draft.dma(window(self.out, *at), window(result))

    def block(self, row: int, column: int, *, k_inner: bool) -> None:
        """One block; with k outermost all eight accumulators advance together."""
        tiles = range(TALL // ROWS * (WIDE // COLUMNS))
        if k_inner:
            for k in range(TILES):
                self.load(row, column, k)
            for tile in tiles:
                bank = self.draft.bank("acc", COLUMNS)
                for k in range(TILES):
                    self.multiply(bank, row, column, tile, k)
                self.evict(bank, row, column, tile)
            return
        banks = [self.draft.bank("acc", COLUMNS) for _ in tiles]
        for k in range(TILES):
            self.load(row, column, k)
            for tile in tiles:
                self.multiply(banks[tile], row, column, tile, k)
        for tile in tiles:
            self.evict(banks[tile], row, column, tile)


def matmul_order(*, k_inner: bool, engines: tuple[str, ...]) -> Kernel:
    """With k outermost in all blocks but the last, or innermost everywhere; who evicts in turn."""
    blocks = _Blocks("matmul_order", engines)
    order = [(r, c) for c in range(SIDE // WIDE) for r in range(SIDE // TALL)]
    for row, column in order:
        blocks.block(row, column, k_inner=k_inner or (row, column) == order[-1])
    return blocks.draft.kernel()


# (name, rows, columns): the weights of a Qwen3 layer of 1024 hidden dims, as bf16.
WEIGHTS = (("qkv", 1024, 4096), ("o", 2048, 1024), ("gate_up", 1024, 6144), ("down", 3072, 1024))
PIECE_TILES, PIECE_COLUMNS = 8, 1024


class _Layer:
    """The loads and matmuls of a layer at 128 tokens; activations are reduced to their chain."""

    def __init__(self, name: str) -> None:
        self.draft = d = Draft(name)
        self.sources = [d.border(n, (r, c), Memory.INPUT) for n, r, c in WEIGHTS]
        self.x = d.border("xT", (1024, ROWS), Memory.INPUT)
        self.table = d.border("table", (ROWS, 1024), Memory.INPUT, FLOAT32)
        self.out = d.border("out", (ROWS, 1024), Memory.OUTPUT)
        self.pieces: list[list[Buffer]] = [[] for _ in WEIGHTS]
        self.held = d.tile("x", (ROWS, 8, ROWS))
        d.dma(window(self.held), window(self.x, shape=(8, ROWS, ROWS), order=(1, 0, 2)))

    def load_table(self) -> Buffer:
        held = self.draft.tile("table_held", (ROWS, 1024), FLOAT32)
        self.draft.dma(window(held), window(self.table))
        return held

    def load_weights(self, which: int) -> None:
        """One weight in pieces of 1024 x 1024, rows first."""
        d, (name, rows, columns) = self.draft, WEIGHTS[which]
        shape = (rows // ROWS, ROWS, columns)
        for column in range(0, columns, PIECE_COLUMNS):
            for first in range(0, rows // ROWS, PIECE_TILES):
                piece = d.tile(name, (ROWS, PIECE_TILES, PIECE_COLUMNS))
                part = (first, PIECE_TILES), None, (column, PIECE_COLUMNS)
                src = window(self.sources[which], *part, shape=shape, order=(1, 0, 2))
                d.dma(window(piece), src)
                self.pieces[which].append(piece)

    def project(self, which: int, left: Buffer) -> Buffer:
        """(128, columns) = left.T @ weight; ``left`` is (128, k tiles, 128)."""
        d, (name, rows, columns) = self.draft, WEIGHTS[which]
        result = d.tile(f"{name}_out", (ROWS, columns))
        pieces = iter(self.pieces[which])
        for column in range(0, columns, PIECE_COLUMNS):
            banks = [d.bank(f"{name}_acc", COLUMNS) for _ in range(PIECE_COLUMNS // COLUMNS)]
            held = [next(pieces) for _ in range(rows // ROWS // PIECE_TILES)]
            for k in range(rows // ROWS):
                piece = held[k // PIECE_TILES]
                for n, bank in enumerate(banks):
                    right = window(piece, None, (k % PIECE_TILES, 1), (n * COLUMNS, COLUMNS))
                    d.matmul(window(bank), window(left, None, (k, 1), None), right, bool(k))
            for n, bank in enumerate(banks):
                part = window(result, None, (column + n * COLUMNS, COLUMNS))
                d.copy("vector" if n else "scalar", part, window(bank))
        return result

    def rotate(self, data: Buffer, table: Buffer) -> Buffer:
        """The small load's consumer: everything behind it waits for the table."""
        d = self.draft
        turned = d.tile("turned", (ROWS, 16, ROWS))
        for half in range(2):
            flat = d.tile("turned_half", (ROWS, 1024))
            part = window(data, None, (half * 1024, 1024))
            d.emit(
                "tensor_tensor",
                "vector",
                dst=window(flat),
                data1=part,
                data2=window(table),
                op="multiply",
            )
            self.transpose(flat, turned, half * 8)
        return turned

    def transpose(self, data: Buffer, into: Buffer, first: int) -> None:
        """(128, n x 128) to (128, n, 128) by the Tensor engine."""
        d = self.draft
        for t in range(data.shape[1] // ROWS):
            bank = d.tile("turning", (ROWS, ROWS), data.dtype, Memory.PSUM)
            part = window(data, None, (t * ROWS, ROWS))
            d.emit("nc_transpose", "tensor", dst=window(bank), data=part)
            d.copy("vector", window(into, None, (first + t, 1), None), window(bank))

    def whole(self, table: Buffer) -> None:
        """qkv, rotation, o, gate and up, their product, down, and the store."""
        d = self.draft
        turned = self.rotate(self.project(0, self.held), table)
        hidden = d.tile("hidden", (ROWS, 8, ROWS))
        self.transpose(self.project(1, turned), hidden, 0)
        both = self.project(2, hidden)
        mixed = d.tile("mixed", (ROWS, 3072))
        halves = window(both, None, (0, 3072)), window(both, None, (3072, 3072))
        d.emit(
            "tensor_tensor",
            "vector",
            dst=window(mixed),
            data1=halves[0],
            data2=halves[1],
            op="multiply",
        )
        across = d.tile("across", (ROWS, 24, ROWS))
        self.transpose(mixed, across, 0)
        self.load_weights(3)
        d.dma(window(self.out), window(self.project(3, across)))


def late_load(*, late: bool) -> Kernel:
    """The small table is loaded first, or behind the weights that are prefetched."""
    layer = _Layer("late_load" if late else "early_load")
    table = None if late else layer.load_table()
    for which in range(3):
        layer.load_weights(which)
    layer.whole(table or layer.load_table())
    return layer.draft.kernel()
