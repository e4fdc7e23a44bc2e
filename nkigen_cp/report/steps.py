"""One line per step: what it computes, with which instruction, over which tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from nkigen_cp.ir.factor.program import FactorOp, Program
from nkigen_cp.ir.tensor.collective_rows import groups_of
from nkigen_cp.report.model import OpLine, StepLine
from nkigen_cp.report.wording import (
    Names,
    axis_names,
    free_text,
    in_order,
    layout_text,
    op_line,
    run_text,
    tiles_text,
)
from nkigen_cp.solver.homes import nest_of
from nkigen_cp.solver.plan import (
    CHUNK,
    Contract,
    Cover,
    Elementwise,
    Exchange,
    Form,
    Gather,
    Generate,
    Load,
    Reinterpret,
    Reorder,
    Replicate,
    Scatter,
    Step,
    Store,
    Transpose,
    Use,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What differs from one kind of step to the next."""

    instruction: str
    ops: tuple[OpLine, ...] = ()
    moves: str = ""
    partitions: str = ""
    loops: str = ""
    tiles: str = ""
    epilogue: str = ""
    streamed: str = ""


def step_line(program: Program, forms: Mapping[str, Form], step: Step) -> StepLine:
    """A step in words; ``forms`` are the plan's by name."""
    words = _WORDS[type(step.spec)](program, forms, step)
    return StepLine(
        number=step.group,
        name=step.name,
        instruction=words.instruction,
        ops=words.ops,
        moves=words.moves,
        partitions=words.partitions,
        loops=words.loops,
        tiles=words.tiles,
        epilogue=words.epilogue,
        streamed=words.streamed,
        busy_ns=in_order(step.busy_ns),
        sbuf_bytes=step.sbuf_bytes,
        psum_banks=step.psum_banks,
        nest=nest_of(step.path),
        reads=_tensors(forms, step.reads),
        writes=_tensors(forms, step.writes),
    )


def _tensors(forms: Mapping[str, Form], uses: tuple[Use, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(forms[u.form].tensor for u in uses))


def _written_text(program: Program, forms: Mapping[str, Form], step: Step) -> str:
    """What lies on the partitions of the form a step writes; HBM has none."""
    form = forms[step.writes[0].form]
    return layout_text(program.tensors[form.tensor], form.layout)


def _ops(program: Program, cover: Cover) -> tuple[OpLine, ...]:
    ops = [program.ops[n] for n in cover.ops]
    return tuple(op_line(o.name, o.output.tensor, o.source) for o in ops)


def _loops_text(loops: tuple[str, ...], op: FactorOp, names: Names) -> str:
    sizes = {d.name: f" {d.size}" for d in op.digits}
    return ", ".join(names[d] + sizes.get(d, "") for d in loops)


def _elementwise(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    del forms
    spec = cast("Elementwise", step.spec)
    cover = spec.cover
    root = program.ops[cover.root]
    names = axis_names(program, (s.access for s in (*cover.writes, *cover.reads)))
    return Words(
        instruction=cover.instruction,
        ops=_ops(program, cover),
        partitions=run_text(spec.run, root, names),
        loops=_loops_text(spec.loops, root, names),
    )


def _contract(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Contract", step.spec)
    op = program.ops[spec.op]
    lhs, rhs = op.accesses
    stationary, moving = (lhs, rhs) if spec.stationary == "lhs" else (rhs, lhs)
    names = axis_names(program, (op.output, stationary, moving))
    cover = spec.epilogue.cover
    tiles = [f"{stationary.tensor} stationary, {moving.tensor} moving"]
    for what, blocks in (("by", spec.moving), ("items", spec.items)):
        tiles += [f"{what} {tiles_text(blocks, names)}"] if blocks else []
    rows = ", two rows at a time" if spec.double_row else ""
    tiles.append(f"contracting {run_text(spec.k_run, op, names)}{rows}")
    if spec.accumulate:
        tiles.append(f"accumulating {_loops_text(spec.accumulate, op, names)}")
    after = [n for n in cover.ops if n != op.name]
    epilogue = f"{cover.instruction} on {spec.epilogue.engine}"
    return Words(
        instruction="nc_matmul",
        ops=_ops(program, cover),
        partitions=run_text(spec.m_run, op, names),
        loops=_loops_text(spec.loops, op, names),
        tiles="; ".join(tiles),
        epilogue=epilogue + (f" computing {', '.join(after)}" if after else ""),
        streamed=_stream_text(spec, names, forms, step),
    )


def _stream_text(spec: Contract, names: Names, forms: Mapping[str, Form], step: Step) -> str:
    stream = spec.stream
    if stream is None:
        return ""
    form = next(u.form for u in step.reads if u.slot == stream.slot)
    block = f"{names[stream.digit]} {stream.block}"
    return f"{forms[form].tensor} in blocks of {block}, {stream.copies} buffers"


def _load(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Load", step.spec)
    return Words(
        instruction="dma_copy",
        moves=f"loads {spec.tensor}",
        partitions=_written_text(program, forms, step),
    )


def _store(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Store", step.spec)
    op = program.graph.ops.get(spec.op)
    form = forms[step.reads[0].form]
    return Words(
        instruction="dma_copy",
        ops=() if op is None else (op_line(op.name, spec.target.tensor, op.source),),
        moves=f"stores {spec.source.tensor}",
        partitions=layout_text(program.tensors[form.tensor], form.layout),
    )


def _transpose(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Transpose", step.spec)
    return Words(
        instruction="nc_transpose",
        moves=f"transposes {spec.tensor}",
        partitions=_written_text(program, forms, step),
        tiles=tiles_text(spec.items, {}),
        epilogue=f"tensor_copy on {spec.engine}",
    )


def _replicate(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Replicate", step.spec)
    return Words(
        instruction="nc_matmul",
        moves=f"replicates {spec.tensor}",
        partitions=_written_text(program, forms, step),
        tiles=tiles_text(spec.tiles, {}),
        epilogue=f"tensor_copy on {spec.engine}",
    )


def _reorder(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Reorder", step.spec)
    form = forms[step.writes[0].form]
    tensor = program.tensors[form.tensor]
    assert form.layout is not None
    sizes = {f.name: f" {f.size}" for f in tensor.factors}
    return Words(
        instruction="tensor_copy",
        moves=f"reorders {spec.tensor} to {free_text(tensor, form.layout)}",
        partitions=_written_text(program, forms, step),
        loops=", ".join("chunk" if d == CHUNK else d + sizes[d] for d in spec.loops),
    )


def _generate(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Generate", step.spec)
    return Words(
        instruction=", ".join(spec.instructions),
        moves=f"makes {spec.tensor}",
        partitions=_written_text(program, forms, step),
    )


_GATHERING = {"row": "dma_gather", "block": "dma_fetch", "element": "nc_n_gather"}


def _gather(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    del forms
    spec = cast("Gather", step.spec)
    op = program.ops[spec.op]
    table, index = op.accesses
    names = axis_names(program, (op.output, table, index))
    return Words(
        instruction=_GATHERING[spec.by],
        ops=(op_line(op.name, op.output.tensor, op.source),),
        moves=f"gathers {table.tensor} by {index.tensor}",
        partitions=run_text(spec.run, op, names),
        loops=_loops_text(spec.loops, op, names),
    )


def _scatter(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    del forms
    spec = cast("Scatter", step.spec)
    op = program.ops[spec.op]
    _, index, given = op.accesses
    names = axis_names(program, (given, index, op.output))
    return Words(
        instruction="dma_put",
        ops=(op_line(op.name, op.output.tensor, op.source),),
        moves=f"writes {given.tensor} by {index.tensor}",
        partitions=run_text(spec.run, op, names),
        loops=_loops_text(spec.loops, op, names),
    )


def _reinterpret(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    spec = cast("Reinterpret", step.spec)
    tensor = forms[step.writes[0].form].tensor
    line = op_line(spec.op, tensor, program.graph.ops[spec.op].source)
    return Words(instruction="dma_copy", ops=(line,), partitions="HBM")


def _exchange(program: Program, forms: Mapping[str, Form], step: Step) -> Words:
    op = program.graph.ops[cast("Exchange", step.spec).op]
    line = op_line(op.name, forms[step.writes[0].form].tensor, op.source)
    groups = ", ".join(f"({', '.join(map(str, group))})" for group in groups_of(op))
    moves = f"exchanges {op.operands[0].tensor} in groups {groups}"
    return Words(instruction=op.kind, ops=(line,), moves=moves, partitions="HBM")


_WORDS: Mapping[type, Callable[[Program, Mapping[str, Form], Step], Words]] = {
    Elementwise: _elementwise,
    Contract: _contract,
    Load: _load,
    Store: _store,
    Transpose: _transpose,
    Replicate: _replicate,
    Reorder: _reorder,
    Generate: _generate,
    Reinterpret: _reinterpret,
    Exchange: _exchange,
    Gather: _gather,
    Scatter: _scatter,
}
