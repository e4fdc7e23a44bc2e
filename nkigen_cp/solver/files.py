"""Plan files: a plan, its graph and target as versioned JSON; nothing read is executed."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nkigen_cp.errors import PlanError
from nkigen_cp.ir.tensor.graph import Array, Graph, Op, Tensor
from nkigen_cp.solver.codec import decode, dumps
from nkigen_cp.solver.plan import PLAN_VERSION, PlanData
from nkigen_cp.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecord:
    """The serialised part of a graph: everything but how the function was called."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mutated: dict[str, str]
    constants: dict[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """A plan file."""

    plan: PlanData
    graph: GraphRecord
    target: Target


def graph_record(graph: Graph) -> GraphRecord:
    """The graph as a serialisable value."""
    return GraphRecord(
        name=graph.name,
        tensors=tuple(graph.tensors.values()),
        ops=tuple(graph.ops.values()),
        inputs=graph.input_names,
        outputs=graph.output_names,
        mutated=dict(graph.mutated),
        constants=dict(graph.constants),
    )


def plan_text(plan: PlanData, graph: Graph, target: Target) -> str:
    """Canonical text of a plan file: same plan, same bytes."""
    return dumps(PlanRecord(plan=plan, graph=graph_record(graph), target=target))


def write_plan(path: Path, text: str) -> None:
    """Write through a temporary file in the same folder, so that nothing is ever half there.

    Raises:
        PlanError: the folder does not exist or cannot be written to.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise PlanError(f"plan file {path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_plan(path: Path) -> tuple[PlanData, Graph, Target]:
    """The plan and graph of a file.

    Raises:
        PlanError: unreadable, not JSON, of another version, or with a key missing or unknown.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"plan file {path}: {error.strerror}") from error
    except ValueError as error:
        raise PlanError(f"plan file {path} is not valid JSON: {error}") from error
    version = _version(data)
    if version != PLAN_VERSION:
        raise PlanError(
            f"plan file {path} has version {version!r}; this release reads version "
            f"{PLAN_VERSION}: solve the graph again"
        )
    try:
        record: PlanRecord = decode(PlanRecord, data, f"plan file {path}")
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise PlanError(f"plan file {path} is corrupt: {error}") from error
    g = record.graph
    graph = Graph(
        name=g.name,
        tensors={t.name: t for t in g.tensors},
        ops={o.name: o for o in g.ops},
        input_names=g.inputs,
        output_names=g.outputs,
        mutated=g.mutated,
        constants=g.constants,
    )
    return record.plan, graph, record.target


def _version(data: Any) -> object:
    plan = data.get("plan") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return plan.get("version") if isinstance(plan, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
