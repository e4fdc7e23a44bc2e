"""From the traced graph to the core graph that the solver plans."""

from __future__ import annotations

from nkigen_cp.errors import GraphError, UnsupportedError
from nkigen_cp.ir.rewrite.apply import apply_rules
from nkigen_cp.ir.rewrite.casts import absorb_narrowing, absorb_widening, drop_identities
from nkigen_cp.ir.rewrite.constants import (
    fold_constant_casts,
    fold_uniform_constants,
    numbers_last,
    share_constants,
)
from nkigen_cp.ir.rewrite.draft import Draft
from nkigen_cp.ir.rewrite.precision import check_precision, set_contract_dtypes
from nkigen_cp.ir.rewrite.shared import remove_dead_ops, share_common_ops
from nkigen_cp.ir.rewrite.staged import stage_reductions
from nkigen_cp.ir.rewrite.windows import split_windows
from nkigen_cp.ir.tensor.graph import Graph
from nkigen_cp.ir.tensor.table import Family

_ROUNDS_MAX = 50


def canonicalise(graph: Graph, *, matmul_precision: str = "exact") -> Graph:
    """Rewrite a traced graph into the core graph.

    Only elementwise, reduce, contract, copy and reshape ops remain, each computed in float32 and
    rounded once to its result's dtype; nothing is computed twice or in vain. Inputs and outputs
    keep their names, shapes and dtypes, all other tensors that survive keep their names.

    Args:
        graph: any graph of known op kinds.
        matmul_precision: ``exact`` never narrows; ``bf16`` lets contractions read float32 values
            rounded to bfloat16.

    Raises:
        UnsupportedError: an op has no core form, or the precision is not offered.
        GraphError: the graph has a cycle.
    """
    check_precision(matmul_precision)
    draft = Draft(graph)
    for _ in range(_ROUNDS_MAX):
        version = draft.version
        _round(draft, matmul_precision)
        if draft.version == version:
            break
    else:
        raise GraphError(f"graph {graph.name!r}: the rewrites do not settle; please report this")
    stage_reductions(draft)
    split_windows(draft)
    _require_core(draft)
    return draft.freeze()


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
                f"{op.kind} of these operands{op.where()} has no form on the hardware; "
                "power takes the exponents 0.5, -0.5 and -4 to 8"
            )
