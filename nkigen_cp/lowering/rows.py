"""Functions of rows to instructions: a recipe's parts over its operands and scratch tiles."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.nki.kernel import Buffer, Index, Kept, Memory, Operand, View
from nkigen_cp.ir.nki.row_recipes import ROW_RECIPES, Lengths, Tile
from nkigen_cp.lowering.builder import Builder
from nkigen_cp.solver.plan import Elementwise


def emit_rows(b: Builder, spec: Elementwise, args: Mapping[str, Operand]) -> None:
    """One row per partition: the instructions of the cover's recipe."""
    recipe = ROW_RECIPES[spec.cover.instruction]
    data, dst = args["data"], args["dst"]
    assert isinstance(data, View)
    assert isinstance(dst, View)
    lengths = Lengths(row=data.free_size, made=dst.free_size)
    scratch = {
        name: b.buffer(
            name,
            (data.partitions, tile.elements),
            tile.dtype,
            Memory.SBUF,
            note=f"scratch of {spec.cover.instruction}",
        )
        for name, tile in recipe.scratch(lengths).items()
    }

    def view(tile: Tile) -> Operand:
        buffer = scratch.get(tile.name)
        return args[tile.name] if buffer is None else _piece(buffer, tile)

    for part in recipe.parts(lengths, args):
        views = {name: view(tile) for name, tile in part.tiles.items()}
        b.emit(part.instruction, spec.engine, {**views, **part.others}, ops=spec.cover.ops)


def _piece(buffer: Buffer, tile: Tile) -> View:
    """Some elements of a scratch tile, of every partition."""
    start = Index(size=tile.size).start + tile.start
    return View(
        buffer=buffer.name,
        shape=buffer.shape,
        index=(Index(size=buffer.shape[0]), Index(start=start, size=tile.size)),
        dims=(Kept(dim=0), Kept(dim=1)),
    )
