"""From the traced graph to the core graph that the solver plans."""

from __future__ import annotations

from collections.abc import Callable

from nkigen_cp.errors import GraphError, UnsupportedError
from nkigen_cp.ir.rewrite.apply import apply_rules
from nkigen_cp.ir.rewrite.casts import absorb_narrowing, absorb_widening, drop_identities
from nkigen_cp.ir.rewrite.causal import skip_masked_blocks
from nkigen_cp.ir.rewrite.constants import (
    fold_constant_casts,
    fold_uniform_constants,
    numbers_last,
    share_constants,
)
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.empty import without_empty
from nkigen_cp.ir.rewrite.integers import make_integers_exact
from nkigen_cp.ir.rewrite.precision import check_precision, set_contract_dtypes
from nkigen_cp.ir.rewrite.products import multiply_in_pairs
from nkigen_cp.ir.rewrite.scales import scale_after_contractions
from nkigen_cp.ir.rewrite.shared import remove_dead_ops, share_common_ops
from nkigen_cp.ir.rewrite.shifts import add_negated_rows
from nkigen_cp.ir.rewrite.staged import stage_reductions
from nkigen_cp.ir.rewrite.tiled import stage_tiled_reductions
from nkigen_cp.ir.rewrite.tiles import numbers_to_tiles
from nkigen_cp.ir.rewrite.turned import widen_to_turn
from nkigen_cp.ir.rewrite.windows import split_windows
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.table import Family

_ROUNDS_MAX = 50


def canonicalise(
    graph: Graph, *, matmul_precision: str = "exact", assume_masked: bool = False
) -> Graph:
    """Rewrite a traced graph into the core graph.

    Only elementwise, reduce, contract, copy and reshape ops remain, each computed in float32 and
    rounded once to its result's dtype; nothing is computed twice or in vain. Inputs and outputs
    keep their names, shapes and dtypes, all other tensors that survive keep their names.

    Args:
        graph: any graph of known op kinds.
        matmul_precision: ``exact`` never narrows; ``tf32`` and ``bf16`` let contractions read
            float32 values rounded to tfloat32 and bfloat16.
        assume_masked: leave out blocks of attention under a causal mask (``skip_masked_blocks``).

    Raises:
        UnsupportedError: an op has no core form, or the precision is not offered.
        GraphError: the graph has a cycle.
    """
    if assume_masked:
        graph = skip_masked_blocks(simplify(graph, matmul_precision=matmul_precision))
    draft = _simplified(graph, matmul_precision)
    _until_settled(draft, lambda: _save_passes(draft, matmul_precision))
    stage_reductions(draft)
    stage_tiled_reductions(draft)
    split_windows(draft)
    widen_to_turn(draft)
    numbers_to_tiles(draft)
    _require_core(draft)
    return draft.freeze()


def simplify(graph: Graph, *, matmul_precision: str = "exact") -> Graph:
    """The core graph in the program's own terms: nothing yet arranged for the instructions.

    Passes that recognise formulas look here, as ``causal_windows`` does for the softmax.

    Raises:
        UnsupportedError: an op has no core form, or the precision is not offered.
        GraphError: the graph has a cycle.
    """
    draft = _simplified(graph, matmul_precision)
    _require_core(draft)
    return draft.freeze()


def _simplified(graph: Graph, precision: str) -> Draft:
    check_precision(precision)
    draft = Draft(without_empty(graph))
    _until_settled(draft, lambda: _round(draft, precision))
    multiply_in_pairs(draft)
    make_integers_exact(draft)
    _until_settled(draft, lambda: _round(draft, precision))
    return draft


def _until_settled(draft: Draft, step: Callable[[], None]) -> None:
    for _ in range(_ROUNDS_MAX):
        version = draft.version
        step()
        if draft.version == version:
            return
    raise GraphError(f"graph {draft.graph.name!r}: the rewrites do not settle; please report this")


def _save_passes(draft: Draft, precision: str) -> None:
    add_negated_rows(draft)
    scale_after_contractions(draft)
    _until_settled(draft, lambda: _round(draft, precision))


def _round(draft: Draft, matmul_precision: str) -> None:
    remove_dead_ops(draft)
    fold_uniform_constants(draft)
    apply_rules(draft)
    numbers_last(draft)
    drop_identities(draft)
    absorb_widening(draft)
    fold_constant_casts(draft)
    share_constants(draft)
    share_common_ops(draft)
    remove_dead_ops(draft)
    set_contract_dtypes(draft, matmul_precision)
    share_common_ops(draft)
    absorb_narrowing(draft)


def _require_core(draft: Draft) -> None:
    for op in draft:
        if draft.family(op) is Family.COMPOSITE:
            raise UnsupportedError(
                f"{op.kind} of these operands{op.where()} has no form on the hardware"
            )
