"""The op table: one row per op kind. Legality, layouts, lowering, tests and docs derive from it."""

from __future__ import annotations

from nkigen_cp.ir.tensor.collective_rows import COLLECTIVE_ROWS
from nkigen_cp.ir.tensor.composite_rows import COMPOSITE_ROWS
from nkigen_cp.ir.tensor.core_rows import CORE_ROWS
from nkigen_cp.ir.tensor.row import Family, OpRow, Result

__all__ = ["OPS", "ROWS", "Family", "OpRow", "Result"]

ROWS: tuple[OpRow, ...] = (*CORE_ROWS, *COLLECTIVE_ROWS, *COMPOSITE_ROWS)

OPS: dict[str, OpRow] = {row.name: row for row in ROWS}
