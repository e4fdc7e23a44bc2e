"""The errors users meet: one base class; each says what, where, what was given and allowed."""

from __future__ import annotations

from nkigen_cp.conflicts import Conflict, InfeasibilityReport


class NkigenError(Exception):
    """Base of every error this package raises on purpose."""


class TraceError(NkigenError):
    """The traced function used something the front end does not accept."""


class ShapeError(TraceError, ValueError, AssertionError):
    """Operand shapes disagree; also a ValueError and an AssertionError, as numpy users expect."""


class TargetIndexError(TraceError, IndexError):
    """A subscript that cannot be assigned to."""


class ReadOnlyError(TraceError, ValueError):
    """A write into an array whose elements share their places in memory."""


class UnsupportedError(TraceError, TypeError):
    """A function, dtype or index form that is not supported."""


class IndexUnsupportedError(UnsupportedError, NotImplementedError):
    """An index form that is not supported, such as a traced boolean mask."""


class IndexCountError(IndexUnsupportedError, ValueError):
    """More index arrays in one subscript than are supported."""


class GraphError(NkigenError):
    """A graph that breaks the graph's own rules (cyclic, dangling, foreign)."""


class TargetError(NkigenError):
    """A target file that is missing, unreadable or incomplete; names the key."""


class PlanError(NkigenError):
    """A plan file that cannot be read, or a plan that breaks a constraint."""


class Infeasible(NkigenError):
    """No plan exists; names the tensors or limits in conflict.

    ``report`` has the conflicts as values: what is asked for, what there is, what would help.
    """

    def __init__(self, message: str, report: InfeasibilityReport | None = None) -> None:
        super().__init__(message)
        alone = Conflict(resource="instructions", members=(), text=message, levers=())
        self.report = report or InfeasibilityReport(kernel="", target="", conflicts=(alone,))


class KernelError(NkigenError):
    """A kernel that breaks a hardware rule, found by the verifier."""


class SimulationError(NkigenError):
    """A kernel that misbehaves when run: reads before writes, exceeds memory."""


class ArgumentError(NkigenError, ValueError):
    """An argument of a public function has the wrong type, shape or dtype."""


class ToolchainError(NkigenError):
    """The Neuron toolchain is missing or refused the kernel."""
