"""Rules about the operators, functions and immediates of one instruction.

A rule returns what is wrong in one sentence, or None. Source: AWS Neuron SDK docs,
nki/api/nki/isa/__init__.py (NKI 0.6) and the operator tables in nki/api/nki.api.shared.rst.
"""

from __future__ import annotations

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.activations import ACTIVATIONS
from nkigen_cp.ir.nki.alu import ACCUMULATING, ALU, COMPARISONS
from nkigen_cp.ir.nki.kernel import View
from nkigen_cp.ir.nki.site import Site
from nkigen_cp.ir.nki.table import Role


def _ops(site: Site) -> list[tuple[str, str]]:
    """(parameter, operator) for every ALU operator given."""
    given = [(p.name, site.argument(p.name)) for p in site.row.parameters if p.role is Role.OP]
    return [(name, op) for name, op in given if isinstance(op, str)]


def vector_float32(site: Site) -> str | None:
    """Row vectors of arithmetic operators are float32; of bit operators, of the data's dtype."""
    data = site.use("data").buffer.dtype
    bits = any(ALU[op].bits for _, op in _ops(site) if op in ALU)
    wanted = data if bits else FLOAT32
    for use in site.uses:
        if use.parameter.role is Role.VECTOR and use.buffer.dtype != wanted:
            return f"{use} is {use.buffer.dtype}; it must be {wanted}"
    return None


def engine_ops(site: Site) -> str | None:
    """The engine has the operators."""
    engine = site.instruction.engine
    allowed = site.target.alu_ops.get(engine, ())
    for name, op in _ops(site):
        if op not in allowed or op not in ALU:
            return f"has {name} {op!r} on engine {engine!r}; it has {', '.join(allowed)}"
    return None


def binary_ops(site: Site) -> str | None:
    """An operator between two tiles takes both."""
    for name, op in _ops(site):
        if ALU[op].unary:
            return f"has {name} {op!r}, which takes one operand; use an operator of two"
    return None


def binary_op1(site: Site) -> str | None:
    """The operator between a tile and the first result takes both."""
    op = site.argument("op1")
    if isinstance(op, str) and ALU[op].unary:
        return f"has op1 {op!r}, which takes one operand; use an operator of two"
    return None


def arithmetic_ops(site: Site) -> str | None:
    """No bit operators."""
    for name, op in _ops(site):
        if ALU[op].bits:
            return f"has {name} {op!r}; only arithmetic operators are allowed"
    return None


def one_op_class(site: Site) -> str | None:
    """Both operators are arithmetic, or both work on bits."""
    ops = [op for _, op in _ops(site)]
    if len(ops) == 2 and ALU[ops[0]].bits != ALU[ops[1]].bits:
        return f"mixes {ops[0]!r} and {ops[1]!r}; both must be arithmetic or both bit operators"
    return None


def bit_dtypes(site: Site) -> str | None:
    """Bit operators need integers of one width, and integer immediates."""
    if not any(ALU[op].bits for _, op in _ops(site)):
        return None
    dtypes = [use.buffer.dtype for use in site.uses]
    if any(d.kind not in ("int", "uint") or d.size_bytes != dtypes[0].size_bytes for d in dtypes):
        names = ", ".join(str(d) for d in dtypes)
        return f"applies a bit operator to {names}; all operands must be integers of one width"
    numbers = [site.argument(n) for n in ("operand0", "operand1")]
    if any(isinstance(n, float) for n in numbers):
        return f"applies a bit operator to the immediates {numbers}; they must be integers"
    return None


def scalar_pairs(site: Site) -> str | None:
    """The Scalar engine runs only these operator pairs of tensor_scalar."""
    pair = (site.argument("op0"), site.argument("op1"))
    allowed = (("multiply", "add"), ("multiply", None), ("add", None))
    if site.instruction.engine != "scalar" or pair in allowed:
        return None
    return f"has operators {pair} on engine 'scalar'; allowed are {allowed}"


def gpsimd_rsqrt(site: Site) -> str | None:
    """GpSimd runs tensor_scalar for rsqrt only."""
    pair = (site.argument("op0"), site.argument("op1"))
    if site.instruction.engine != "gpsimd" or pair == ("rsqrt", None):
        return None
    return f"has operators {pair} on engine 'gpsimd'; allowed is rsqrt alone"


def unary_operands(site: Site) -> str | None:
    """A unary operator's unused operand is 0."""
    for op_name, operand_name in (("op0", "operand0"), ("op1", "operand1")):
        op, operand = site.argument(op_name), site.argument(operand_name)
        unary = isinstance(op, str) and ALU[op].unary
        if unary and (isinstance(operand, View) or operand not in (None, 0)):
            return f"has {operand_name} for the unary {op!r}; it must be 0"
    return None


def paired_operand(site: Site) -> str | None:
    """op1 and operand1 come together."""
    op, operand = site.argument("op1"), site.argument("operand1")
    if op is None and operand is not None:
        return "has operand1 without op1; give both or none"
    if isinstance(op, str) and operand is None and not ALU[op].unary:
        return f"has op1 {op!r} without operand1; give both or none"
    return None


def reducing_op(site: Site) -> str | None:
    """The operator folds a row; only arithmetic results can be negated."""
    op = str(site.argument("op"))
    if ALU[op].reduce is None:
        allowed = ", ".join(row.name for row in ALU.values() if row.reduce)
        return f"reduces by {op!r}; allowed are {allowed}"
    if ALU[op].bits and site.argument("negate"):
        return f"negates the result of the bit operator {op!r}; negate needs arithmetic"
    return None


def accumulating_op(site: Site) -> str | None:
    """The accumulator registers fold by the operator."""
    op = str(site.argument("reduce_op"))
    if op in ACCUMULATING:
        return None
    return f"accumulates by {op!r}; allowed are {', '.join(ACCUMULATING)}"


def folding_op1(site: Site) -> str | None:
    """The registers fold by the operator of a scan."""
    op = str(site.argument("op1"))
    if op in ACCUMULATING:
        return None
    return f"folds by op1 {op!r}; allowed are {', '.join(ACCUMULATING)}"


def activation_function(site: Site) -> str | None:
    """The target's Scalar engine has the function."""
    op = str(site.argument("op"))
    allowed = [name for name in site.target.activations if name in ACTIVATIONS]
    return None if op in allowed else f"applies {op!r}; allowed are {', '.join(allowed)}"


def activation_reduce(site: Site) -> str | None:
    """A command that reduces names its operator."""
    command = str(site.argument("reduce_cmd"))
    if command in ("reduce", "reset_reduce") and site.argument("reduce_op") is None:
        return f"has reduce_cmd {command!r} without reduce_op; give reduce_op 'add'"
    return None


def memset_value(site: Site) -> str | None:
    """Integers are set to whole numbers."""
    value, dtype = site.argument("value"), site.use("dst").buffer.dtype
    if dtype.is_float or not isinstance(value, float) or value.is_integer():
        return None
    return f"sets {dtype} to {value!r}; the value must be a whole number"


def comparison(site: Site) -> str | None:
    """The operator compares."""
    op = str(site.argument("cmp_op"))
    return None if op in COMPARISONS else f"compares by {op!r}; allowed are {COMPARISONS}"
