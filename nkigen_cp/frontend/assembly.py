"""Makes the graph of a finished trace: dead ops dropped, names resolved."""

from __future__ import annotations

from collections.abc import Mapping

from nkigen_cp.frontend.builder import Builder, Piece
from nkigen_cp.ir.tensor.graph import Graph, Immediate, Input, Op, Operand, Tensor


def _live(builder: Builder, outputs: tuple[int, ...]) -> tuple[list[Piece], dict[int, bool]]:
    """The recorded ops the outputs depend on, and the tensors they use."""
    needed = dict.fromkeys(outputs, True)
    pieces: list[Piece] = []
    for piece in reversed(builder.pieces):
        if piece.output[0] not in needed:
            continue
        pieces.append(piece)
        needed.update((read[0], True) for read in piece.inputs if isinstance(read, tuple))
    return pieces[::-1], needed


def _op(piece: Piece, name: str, names: Mapping[int, str]) -> Op:
    inputs: list[Input] = [
        Operand(tensor=names[i[0]], index=i[1]) if isinstance(i, tuple) else Immediate(value=i)
        for i in piece.inputs
    ]
    return Op(
        name=name,
        kind=piece.kind,
        axes=piece.axes,
        inputs=tuple(inputs),
        outputs=(Operand(tensor=names[piece.output[0]], index=piece.output[1]),),
        attrs=piece.attrs,
        source=piece.source,
    )


def _ops(pieces: list[Piece], names: Mapping[int, str]) -> dict[str, Op]:
    """Ops by name: the tensor's, with a number behind it if several write the tensor."""
    writers: dict[int, int] = {}
    for piece in pieces:
        writers[piece.output[0]] = writers.get(piece.output[0], 0) + 1
    written: dict[int, int] = {}
    ops: dict[str, Op] = {}
    for piece in pieces:
        ident = piece.output[0]
        part = written[ident] = written.get(ident, -1) + 1
        name = names[ident] if writers[ident] == 1 else f"{names[ident]}.{part}"
        ops[name] = _op(piece, name, names)
    return ops


def assemble(
    builder: Builder,
    *,
    name: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    mutated: Mapping[int, int],
) -> Graph:
    """The graph of a finished trace; inputs, outputs and ``mutated`` are tensor numbers."""
    pieces, needed = _live(builder, (*outputs, *mutated.values()))
    kinds = {ident: kind for ident, kind in builder.kinds.items() if ident in needed}
    names = builder.namer.resolve(inputs, kinds)
    tensors: dict[str, Tensor] = {}
    for ident in (*inputs, *kinds):
        traced = builder.tensors[ident]
        tensors[names[ident]] = Tensor(
            name=names[ident], shape=traced.shape, dtype=traced.element, axes=traced.axes
        )
    return Graph(
        name=name,
        tensors=tensors,
        ops=_ops(pieces, names),
        input_names=tuple(names[ident] for ident in inputs),
        output_names=tuple(names[ident] for ident in outputs),
        constants={
            names[ident]: values for ident, values in builder.constants.items() if ident in needed
        },
        mutated={names[ident]: names[new] for ident, new in mutated.items()},
    )
