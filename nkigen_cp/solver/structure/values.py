"""A structure and the program it makes of a graph."""

from __future__ import annotations

from dataclasses import dataclass

from nkigen_cp.ir.factor.cuts import Cut
from nkigen_cp.ir.factor.nest import bind
from nkigen_cp.ir.factor.program import Loop, Program
from nkigen_cp.ir.factor.refine import refine
from nkigen_cp.ir.rewrite.axis_windows import AxisSplit, split_axes
from nkigen_cp.ir.tensor.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Cuts of dims and the loops that they make possible, outer loops before their inner ones.

    ``splits`` are axes of which the ops are repeated for two windows before that.
    """

    splits: tuple[AxisSplit, ...] = ()
    cuts: tuple[Cut, ...] = ()
    loops: tuple[Loop, ...] = ()


def structured(graph: Graph, structure: Structure) -> Program:
    """The factored program of a canonical graph, with its ops bound to the structure's loops."""
    windows = split_axes(graph, structure.splits)
    return bind(refine(windows, structure.cuts), structure.loops)
