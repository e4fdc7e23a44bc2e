"""The published matmul kernels in NKI IR: the 2048^3 ladder and the tutorial's variants.

All compute ``out (M, N) = lhsT (K, M).T @ rhs (K, N)`` in tiles of 128 x 128 x 512. What a source
does not say was chosen so that the kernel fits the chip, not so that its time fits the figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.timeline.draft import Draft, window
from nkigen_cp.ir.dtypes import BFLOAT16, FLOAT32, DType
from nkigen_cp.ir.nki.kernel import Affine, Buffer, Kernel, Memory

ROWS, COLUMNS = 128, 512


@dataclass(slots=True, kw_only=True, eq=False)
class Matmul:
    """A matmul being written: sizes, borders and the moves all variants share."""

    draft: Draft
    m: int
    k: int
    n: int
    dtype: DType
    lhs: Buffer
    rhs: Buffer
    out: Buffer

    def load(
        self,
        source: Buffer,
        tiles: int,
        columns: int,
        at: tuple[Affine | int, Affine | int],
        copies: int,
    ) -> Buffer:
        """A fresh tile (128, tiles, columns) of ``source``; ``at`` is (k tile, first column)."""
        name = f"{source.name}_tile"
        tile = self.draft.tile(name, (ROWS, tiles, columns), self.dtype, copies=copies)
        self.fill(tile, source, (at[0], tiles), (at[1], columns))
        return tile

    def fill(
        self,
        tile: Buffer,
        source: Buffer,
        k: tuple[Affine | int, int],
        columns: tuple[Affine | int, int],
        into: Affine | int = 0,
    ) -> None:
        """Load a window of ``source`` into k tiles ``into`` and following of ``tile``."""
        shape = (self.k // ROWS, ROWS, source.shape[1])
        src = window(source, k, None, columns, shape=shape, order=(1, 0, 2))
        self.draft.dma(window(tile, None, (into, k[1]), None), src)

    def multiply(
        self,
        psum: Buffer,
        lhs: tuple[Buffer, Affine | int, Affine | int],
        rhs: tuple[Buffer, Affine | int, Affine | int],
        adds: Affine | bool,
    ) -> None:
        """One tile product; an operand is (tile, k tile, first column)."""
        self.draft.matmul(
            window(psum),
            window(lhs[0], None, (lhs[1], 1), (lhs[2], ROWS)),
            window(rhs[0], None, (rhs[1], 1), (rhs[2], COLUMNS)),
            adds,
        )

    def store(
        self, psum: Buffer, row: Affine | int, column: Affine | int, engine: str = "vector"
    ) -> None:
        """Evict an accumulator and store it."""
        staged = self.draft.tile("result", (ROWS, COLUMNS), self.dtype, copies=2)
        self.draft.copy(engine, window(staged), window(psum))
        self.draft.dma(window(self.out, (row, ROWS), (column, COLUMNS)), window(staged))


def begin(name: str, sizes: tuple[int, int, int], dtype: DType) -> Matmul:
    """The borders of a matmul of ``sizes`` (M, K, N)."""
    m, k, n = sizes
    draft = Draft(name)
    return Matmul(
        draft=draft,
        m=m,
        k=k,
        n=n,
        dtype=dtype,
        lhs=draft.border("lhsT", (k, m), Memory.INPUT, dtype),
        rhs=draft.border("rhs", (k, n), Memory.INPUT, dtype),
        out=draft.border("out", (m, n), Memory.OUTPUT, dtype),
    )


def inner_loads(name: str, sizes: tuple[int, int, int], dtype: DType, copies: int) -> Kernel:
    """Both operand tiles are loaded inside the innermost loop: ladder 1, tutorial v2."""
    j = begin(name, sizes, dtype)
    with j.draft.loop("m", j.m // ROWS) as m, j.draft.loop("n", j.n // COLUMNS) as n:
        psum = j.draft.bank("acc", COLUMNS, copies)
        with j.draft.loop("k", j.k // ROWS) as k:
            lhs = j.load(j.lhs, 1, ROWS, (k, m * ROWS), copies)
            rhs = j.load(j.rhs, 1, COLUMNS, (k, n * COLUMNS), copies)
            j.multiply(psum, (lhs, 0, 0), (rhs, 0, 0), k)
        j.store(psum, m * ROWS, n * COLUMNS)
    return j.draft.kernel()


def resident(name: str, sizes: tuple[int, int, int], dtype: DType, copies: int) -> Kernel:
    """Loads hoisted: rhs is loaded whole, lhsT one row of tiles ahead; ``copies`` accumulators.

    Ladder 2 with one accumulator and 3 with two.
    """
    j = begin(name, sizes, dtype)
    tiles = j.k // ROWS
    rhs = j.load(j.rhs, tiles, j.n, (0, 0), 1)
    with j.draft.loop("m", j.m // ROWS) as m:
        lhs = j.load(j.lhs, tiles, ROWS, (0, m * ROWS), 2)
        with j.draft.loop("n", j.n // COLUMNS) as n:
            psum = j.draft.bank("acc", COLUMNS, copies)
            with j.draft.loop("k", tiles) as k:
                j.multiply(psum, (lhs, k, 0), (rhs, k, n * COLUMNS), k)
            j.store(psum, m * ROWS, n * COLUMNS)
    return j.draft.kernel()


def streamed(name: str, sizes: tuple[int, int, int], dtype: DType) -> Kernel:
    """Ladder 4: blocks of 512 x 512 whose operands stream in, double-buffered; K in one go."""
    j = begin(name, sizes, dtype)
    tiles, wide = j.k // ROWS, 4 * ROWS
    with j.draft.loop("m", j.m // wide) as m:
        lhs = j.load(j.lhs, tiles, wide, (0, m * wide), 2)
        with j.draft.loop("n", j.n // COLUMNS) as n:
            rhs = j.load(j.rhs, tiles, COLUMNS, (0, n * COLUMNS), 2)
            with j.draft.loop("bm", wide // ROWS) as i:
                psum = j.draft.bank("acc", COLUMNS, 4)
                with j.draft.loop("k", tiles) as k:
                    j.multiply(psum, (lhs, k, i * ROWS), (rhs, k, 0), k)
                j.store(psum, m * wide + i * ROWS, n * COLUMNS)
    return j.draft.kernel()


def blocked(name: str, sizes: tuple[int, int, int], dtype: DType, block: tuple[int, int]) -> Kernel:
    """The whole K of ``block`` (row tiles, column tiles) is loaded per block.

    (1, 1) is the tutorial's v3, (2, 1) stands for its v4, whose 2 x 2 tiles exceed SBUF in f32.
    """
    j = begin(name, sizes, dtype)
    tiles, (bm, bn) = j.k // ROWS, block
    with j.draft.loop("m", j.m // (bm * ROWS)) as m:
        lhs = j.draft.tile("lhs_rows", (ROWS, tiles, bm * ROWS), dtype, copies=2 // bm)
        with j.draft.loop("load", tiles) as k:
            j.fill(lhs, j.lhs, (k, 1), (m * (bm * ROWS), bm * ROWS), k)
        with j.draft.loop("n", j.n // (bn * COLUMNS)) as n:
            slices = [
                j.draft.tile("rhs_columns", (ROWS, PIECE, bn * COLUMNS), dtype, copies=1)
                for _ in range(tiles // PIECE)
            ]
            for p, piece in enumerate(slices):
                with j.draft.loop("load", PIECE) as k:
                    at = (k + p * PIECE, 1), (n * (bn * COLUMNS), bn * COLUMNS)
                    j.fill(piece, j.rhs, *at, k)
            with j.draft.loop("bm", bm) as i, j.draft.loop("bn", bn) as c:
                psum = j.draft.bank("acc", COLUMNS, 2)
                for p, piece in enumerate(slices):
                    with j.draft.loop("k", PIECE) as k:
                        adds = k if not p else True
                        left = (lhs, k + p * PIECE, i * ROWS)
                        j.multiply(psum, left, (piece, k, c * COLUMNS), adds)
                row, column = m * bm + i, n * bn + c
                j.store(psum, row * ROWS, column * COLUMNS)
    return j.draft.kernel()


# K tiles of rhs per buffer: the next column's loads may follow the matmuls piece by piece.
PIECE = 8


def accumulated(name: str, sizes: tuple[int, int, int], dtype: DType) -> Kernel:
    """The tutorial's v5: M, N and K blocked, partial sums added up in SBUF.

    Blocks of 8 x 2 x 4 tiles; the tutorial's 16 x 2 x 8 leave no room for a second buffer in f32.
    """
    j = begin(name, sizes, dtype)
    bm, bn, bk = 8, 2, 4
    rows, wide = j.m // ROWS, bn * COLUMNS
    with j.draft.loop("n", j.n // wide) as n:
        sums = j.draft.tile("sums", (ROWS, rows, wide), FLOAT32)
        j.draft.emit("memset", "gpsimd", dst=window(sums), value=0.0)
        with j.draft.loop("kb", j.k // (bk * ROWS)) as kb:
            rhs = j.load(j.rhs, bk, wide, (kb * bk, n * wide), 2)
            with j.draft.loop("mb", rows // bm) as mb:
                lhs = j.load(j.lhs, bk, bm * ROWS, (kb * bk, mb * (bm * ROWS)), 2)
                with j.draft.loop("bm", bm) as i, j.draft.loop("bn", bn) as c:
                    psum = j.draft.bank("acc", COLUMNS, 4)
                    with j.draft.loop("k", bk) as k:
                        j.multiply(psum, (lhs, k, i * ROWS), (rhs, k, c * COLUMNS), k)
                    part = window(sums, None, (mb * bm + i, 1), (c * COLUMNS, COLUMNS))
                    j.draft.emit(
                        "tensor_tensor",
                        "vector",
                        dst=part,
                        data1=part,
                        data2=window(psum),
                        op="add",
                    )
        with j.draft.loop("row", rows) as r:
            j.draft.dma(
                window(j.out, (r * ROWS, ROWS), (n * wide, wide)), window(sums, None, (r, 1), None)
            )
    return j.draft.kernel()


LADDER_SIZES = (2048, 2048, 2048)
TUTORIAL_SIZES = (4096, 8192, 8192)

LADDER = {
    "loads inside K, single buffer": lambda: inner_loads("ladder_1", LADDER_SIZES, BFLOAT16, 1),
    "PSUM tiled, loads hoisted": lambda: resident("ladder_2", LADDER_SIZES, BFLOAT16, 1),
    "+ accumulator double buffer": lambda: resident("ladder_3", LADDER_SIZES, BFLOAT16, 2),
    "streaming loads, double-buffered": lambda: streamed("ladder_4", LADDER_SIZES, BFLOAT16),
}
TUTORIAL = {
    "v2": lambda: inner_loads("tutorial_v2", TUTORIAL_SIZES, FLOAT32, 4),
    "v3": lambda: blocked("tutorial_v3", TUTORIAL_SIZES, FLOAT32, (1, 1)),
    "v4": lambda: blocked("tutorial_v4", TUTORIAL_SIZES, FLOAT32, (2, 1)),
    "v5": lambda: accumulated("tutorial_v5", TUTORIAL_SIZES, FLOAT32),
}
