"""The rules of single instructions, by the names the instruction table uses."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.ir.nki import collective_rules, operator_rules, shape_rules
from nkigen_cp.ir.nki.access_rules import Rule

RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        shape_rules.same_shape,
        shape_rules.same_elements,
        shape_rules.gathered_rows,
        shape_rules.fetched_block,
        shape_rules.put_block,
        shape_rules.gathered_elements,
        shape_rules.index_dtype,
        collective_rules.replica_groups,
        collective_rules.whole_buffers,
        collective_rules.exchanged_shape,
        collective_rules.reduced_by,
        shape_rules.double_row,
        shape_rules.matmul_shape,
        shape_rules.matmul_dtypes,
        shape_rules.psum_bank,
        shape_rules.transpose_shape,
        shape_rules.transpose_dtype,
        shape_rules.one_psum_input,
        shape_rules.vector_shape,
        shape_rules.predicate_dtype,
        shape_rules.same_dtype,
        shape_rules.select_dtype,
        shape_rules.reduce_shape,
        shape_rules.pattern_size,
        shape_rules.row_of_eights,
        shape_rules.eights,
        shape_rules.replaced_shape,
        shape_rules.place_dtype,
        shape_rules.no_wide_integers,
        shape_rules.bn_stats_shape,
        shape_rules.bn_aggr_shape,
        operator_rules.vector_float32,
        operator_rules.engine_ops,
        operator_rules.binary_ops,
        operator_rules.binary_op1,
        operator_rules.arithmetic_ops,
        operator_rules.one_op_class,
        operator_rules.bit_dtypes,
        operator_rules.scalar_pairs,
        operator_rules.gpsimd_rsqrt,
        operator_rules.unary_operands,
        operator_rules.paired_operand,
        operator_rules.reducing_op,
        operator_rules.accumulating_op,
        operator_rules.folding_op1,
        operator_rules.activation_function,
        operator_rules.activation_reduce,
        operator_rules.memset_value,
        operator_rules.comparison,
    )
}
