"""Rules about the shapes, dtypes and places of one instruction's operands.

A rule returns what is wrong in one sentence, or None. Source: AWS Neuron SDK docs,
nki/api/nki/isa/__init__.py (NKI 0.6), the constraints of each instruction.
"""

from __future__ import annotations

from math import gcd, prod

from nkigen_cp.ir.dtypes import FLOAT32
from nkigen_cp.ir.nki.rowwise import EIGHT, ROW_MAX, ROW_MIN
from nkigen_cp.ir.nki.site import Site, Use
from nkigen_cp.ir.nki.table import Role
from nkigen_cp.ir.nki.views import free_offset, free_span


def _tiles(site: Site) -> list[Use]:
    """The operands that must have the size of dst."""
    return [u for u in site.uses if u.parameter.role is Role.IN]


def same_shape(site: Site) -> str | None:
    """Inputs have the partitions and elements per partition of dst."""
    dst = site.use("dst")
    for use in _tiles(site):
        if use.extent != dst.extent:
            return f"{use} is {use.extent} but {dst} is {dst.extent}; they must be equal"
    return None


def same_elements(site: Site) -> str | None:
    """A DMA moves as many elements as it writes."""
    dst, src = site.use("dst"), site.use("src")
    sizes = prod(dst.view.result_shape), prod(src.view.result_shape)
    if sizes[0] == sizes[1]:
        return None
    return f"writes {sizes[0]} elements of {dst} from {sizes[1]} of {src}; they must be equal"


def gathered_rows(site: Site) -> str | None:
    """A partition of dst takes one row of src: one index per partition, a row's elements."""
    dst, src, index = site.use("dst"), site.use("src"), site.use("index")
    if index.extent != f"{dst.view.partitions}x1":
        return f"{index} is {index.extent}; it must be {dst.view.partitions}x1, a row per index"
    if src.view.free_size == dst.view.free_size:
        return None
    return (
        f"takes rows of {src.view.free_size} elements of {src} for {dst} of {dst.extent}; a row "
        "must fill a partition"
    )


def fetched_block(site: Site) -> str | None:
    """Dst takes all that src has at one position of its first dim."""
    dst, src, index = site.use("dst"), site.use("src"), site.use("index")
    if index.extent != "1x1":
        return f"{index} is {index.extent}; it must be 1x1"
    sizes = dst.view.partitions * dst.view.free_size, src.view.free_size
    if sizes[0] == sizes[1]:
        return None
    return f"fetches {sizes[1]} elements of {src} for {sizes[0]} of {dst}; they must be equal"


def put_block(site: Site) -> str | None:
    """Src is all that dst has at one position of its first dim."""
    dst, src, index = site.use("dst"), site.use("src"), site.use("index")
    if index.extent != "1x1":
        return f"{index} is {index.extent}; it must be 1x1"
    sizes = src.view.partitions * src.view.free_size, dst.view.free_size
    if sizes[0] == sizes[1]:
        return None
    return f"puts {sizes[0]} elements of {src} into {sizes[1]} of {dst}; they must be equal"


def gathered_elements(site: Site) -> str | None:
    """Within every partition one element per index, bits kept."""
    dst, data, indices = site.use("dst"), site.use("data"), site.use("indices")
    if indices.extent != dst.extent or data.view.partitions != dst.view.partitions:
        return (
            f"{dst} is {dst.extent}, {indices} {indices.extent} and {data} {data.extent}; dst and "
            "indices must be equal, and data have as many partitions"
        )
    if data.buffer.dtype != dst.buffer.dtype:
        return f"{dst} is {dst.buffer.dtype} and {data} {data.buffer.dtype}; they must be equal"
    return None


INDEX_DTYPES = ("int32", "uint32")


def index_dtype(site: Site) -> str | None:
    """Positions are integers of 32 bits."""
    use = next(u for u in site.uses if u.parameter.name in ("index", "indices"))
    if use.buffer.dtype.name in INDEX_DTYPES:
        return None
    return f"{use} is {use.buffer.dtype}; allowed are {', '.join(INDEX_DTYPES)}"


def _per_partition(site: Site) -> int:
    """Rows of an operand that one partition holds."""
    return 2 if site.argument("perf_mode") == "double_row" else 1


def double_row(site: Site) -> str | None:
    """Double-row mode takes operands (K, 2, columns) of types that the target multiplies so."""
    if _per_partition(site) == 1:
        return None
    for use in (site.use("stationary"), site.use("moving")):
        shape, allowed = use.view.result_shape, site.target.double_row_dtypes
        if len(shape) != 3 or shape[1] != 2:
            return f"has {use} of shape {shape} in double-row mode; it must be (K, 2, columns)"
        if use.buffer.dtype.name not in allowed:
            names = ", ".join(allowed) or f"none on {site.target.name}"
            return f"has {use} of {use.buffer.dtype} in double-row mode; allowed: {names}"
    return None


def matmul_shape(site: Site) -> str | None:
    """dst(Ms, Nm) from stationary(K, Ms) and moving(K, Nm) within the array's limits."""
    dst, stationary, moving = site.use("dst"), site.use("stationary"), site.use("moving")
    target, rows = site.target, _per_partition(site)
    columns = {u.parameter.name: u.view.free_size // rows for u in (stationary, moving)}
    limits = (
        ("contraction", stationary.view.partitions, target.contraction_max),
        ("stationary free size", columns["stationary"], target.stationary_free_max),
        ("moving free size", columns["moving"], target.moving_free_max),
    )
    for what, size, limit in limits:
        if size > limit:
            return f"has {what} {size}; at most {limit} is allowed"
    if stationary.view.partitions != moving.view.partitions:
        return (
            f"contracts {stationary.view.partitions} partitions of {stationary} with "
            f"{moving.view.partitions} of {moving}; they must be equal"
        )
    wanted = f"{columns['stationary']}x{columns['moving']}"
    return None if dst.extent == wanted else f"{dst} is {dst.extent}; it must be {wanted}"


def matmul_dtypes(site: Site) -> str | None:
    """Operands of matmul dtypes; float32 pairs only with float32."""
    stationary, moving = site.use("stationary"), site.use("moving")
    for use in (stationary, moving):
        if use.buffer.dtype.name not in site.target.matmul_dtypes:
            allowed = ", ".join(site.target.matmul_dtypes)
            return f"{use} is {use.buffer.dtype}; allowed are {allowed}"
    pair = (stationary.buffer.dtype, moving.buffer.dtype)
    if FLOAT32 in pair and pair[0] != pair[1]:
        return f"multiplies {pair[0]} with {pair[1]}; float32 pairs only with float32"
    return None


def psum_bank(site: Site) -> str | None:
    """What the Tensor engine writes lies within one PSUM bank."""
    dst = site.use("dst")
    bank = site.target.psum_bank_bytes
    size = dst.buffer.dtype.size_bytes
    span = free_span(dst.view) * size
    offset = free_offset(dst.view) * size
    if dst.buffer.address:
        offset = offset + dst.buffer.address.offset_bytes
    reach = site.range(offset)
    if reach.low // bank == (reach.high + span - 1) // bank:
        return None
    # Over a loop the offset modulo the bank repeats with this period.
    period = gcd(bank, *(t.stride for t in offset.terms)) if reach.low < reach.high else bank
    if offset.const % period + span <= period:
        return None
    return (
        f"{dst} covers bytes {reach.low}..{reach.high + span - 1} per partition; "
        f"it must stay within one PSUM bank of {bank} bytes"
    )


def transpose_shape(site: Site) -> str | None:
    """dst(F, P) from data(P, F), both at most 128."""
    dst, data = site.use("dst"), site.use("data")
    limit = site.target.partitions
    if max(data.view.partitions, data.view.free_size) > limit:
        return f"{data} is {data.extent}; at most {limit}x{limit} is allowed"
    wanted = f"{data.view.free_size}x{data.view.partitions}"
    return None if dst.extent == wanted else f"{dst} is {dst.extent}; it must be {wanted}"


def transpose_dtype(site: Site) -> str | None:
    """Bits pass through, so the dtypes agree; 1-byte elements would arrive as 2-byte ones."""
    dst, data = site.use("dst").buffer.dtype, site.use("data").buffer.dtype
    if dst != data:
        return f"transposes {data} into {dst}; the dtypes must be equal"
    return f"transposes {data}; elements must have 2 or 4 bytes" if data.size_bytes < 2 else None


def one_psum_input(site: Site) -> str | None:
    """At most one of the two inputs lies in PSUM."""
    inputs = [use for use in _tiles(site) if use.in_psum]
    if len(inputs) < 2:
        return None
    return f"reads {inputs[0]} and {inputs[1]} in PSUM; at most one input may be there"


def predicate_dtype(site: Site) -> str | None:
    """A predicate has elements of one or two bytes, no floats."""
    use = site.use("predicate")
    dtype = use.buffer.dtype
    if dtype.is_float or dtype.size_bytes > 2 or dtype.kind == "int":
        return f"{use} is {dtype}; a predicate is bool, uint8 or uint16"
    return None


def same_dtype(site: Site) -> str | None:
    """Bits pass through from src to dst."""
    dst, src = site.use("dst").buffer.dtype, site.use("src").buffer.dtype
    return None if dst == src else f"copies {src} into {dst}; the dtypes must be equal"


def select_dtype(site: Site) -> str | None:
    """What passes through float32 cannot have 32 bits of an integer."""
    use = site.use("on_true")
    wide = use.buffer.dtype.size_bytes == 4 and not use.buffer.dtype.is_float
    return f"{use} is {use.buffer.dtype}; integers of 32 bits are not exact here" if wide else None


def vector_shape(site: Site) -> str | None:
    """Row vectors and reduced results are (P, 1) for the P of dst."""
    partitions = site.use("dst").view.partitions
    for use in site.uses:
        reduced = use.parameter.name == "reduce_res"
        if not reduced and use.parameter.role is not Role.VECTOR:
            continue
        if use.view.partitions != partitions or use.view.free_size != 1:
            return f"{use} is {use.extent}; it must be {partitions}x1"
    return None


def reduce_shape(site: Site) -> str | None:
    """Dst holds one element per kept position; trailing free dims are reduced, never dim 0."""
    dst, data = site.use("dst"), site.use("data")
    axes, shape = site.argument("num_axes"), data.view.result_shape
    if not isinstance(axes, int) or not 1 <= axes < len(shape):
        return f"reduces {axes} trailing dims of {shape}; allowed are 1..{len(shape) - 1}"
    wanted = f"{shape[0]}x{prod(shape[1 : len(shape) - axes])}"
    return None if dst.extent == wanted else f"{dst} is {dst.extent}; it must be {wanted}"


def pattern_size(site: Site) -> str | None:
    """The pattern covers the elements of one partition."""
    pattern = site.argument("pattern")
    dst = site.use("dst")
    covered = prod(n for _, n in pattern) if isinstance(pattern, tuple) else 0
    if covered == dst.view.free_size:
        return None
    return f"has a pattern of {covered} elements for {dst} of {dst.extent}; they must be equal"


def _row(site: Site) -> Use:
    return next(u for u in site.uses if u.parameter.name in ("src", "data"))


def row_of_eights(site: Site) -> str | None:
    """Rows long enough to have eight elements, and within the instruction's limit."""
    row = _row(site)
    if ROW_MIN <= row.view.free_size <= ROW_MAX:
        return None
    return f"{row} is {row.extent}; {ROW_MIN} to {ROW_MAX} elements per partition are allowed"


def eights(site: Site) -> str | None:
    """What belongs to a row are eight values of it, in one free dim."""
    row = _row(site)
    wanted = (row.view.partitions, EIGHT)
    # What replaces values writes a row again, which has a rule of its own.
    rows = ("src", "data", "dst" if site.row.parameter("imm") else "")
    for use in site.uses:
        if use.parameter.name not in rows and use.view.result_shape != wanted:
            return f"{use} is {use.view.result_shape}; it must be {wanted}"
    return None


def replaced_shape(site: Site) -> str | None:
    """The row that is written is as long as the one that is read."""
    dst, data = site.use("dst"), site.use("data")
    if dst.extent == data.extent:
        return None
    return f"{data} is {data.extent} but {dst} is {dst.extent}; they must be equal"


def place_dtype(site: Site) -> str | None:
    """Places are unsigned."""
    use = site.use("dst")
    if use.buffer.dtype.name in ("uint16", "uint32"):
        return None
    return f"{use} is {use.buffer.dtype}; places are uint16 or uint32"


def no_wide_integers(site: Site) -> str | None:
    """A scan goes through float32, which does not hold integers of 32 bits."""
    for use in site.uses:
        if use.buffer.dtype.size_bytes == 4 and not use.buffer.dtype.is_float:
            return f"{use} is {use.buffer.dtype}; integers of 32 bits are not allowed here"
    return None


# Elements per partition one bn_stats takes: nki/api/nki/isa/__init__.py, bn_stats.
BN_STATS_FREE_MAX = 512


def bn_stats_shape(site: Site) -> str | None:
    """dst(P, 6) from data(P, N), N at most 512."""
    dst, data = site.use("dst"), site.use("data")
    if data.view.free_size > BN_STATS_FREE_MAX:
        return f"{data} is {data.extent}; at most {BN_STATS_FREE_MAX} elements are allowed"
    wanted = f"{data.view.partitions}x6"
    return None if dst.extent == wanted else f"{dst} is {dst.extent}; it must be {wanted}"


def bn_aggr_shape(site: Site) -> str | None:
    """dst(P, 2) from data(P, 3 * groups)."""
    dst, data = site.use("dst"), site.use("data")
    if data.view.free_size % 3:
        return f"{data} is {data.extent}; the statistics must come in threes"
    wanted = f"{data.view.partitions}x2"
    return None if dst.extent == wanted else f"{dst} is {dst.extent}; it must be {wanted}"
