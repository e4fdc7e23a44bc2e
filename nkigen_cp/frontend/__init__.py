"""The front end: traces numpy functions into tensor graphs."""

from __future__ import annotations

from nkigen_cp.frontend.repeated import fori_loop
from nkigen_cp.frontend.structure import Arguments, Tree, unflatten
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.frontend.tracing import Spec, Traced, name, spec, trace, trace_full

__all__ = [
    "Arguments",
    "Spec",
    "Traced",
    "TracedTensor",
    "Tree",
    "fori_loop",
    "name",
    "spec",
    "trace",
    "trace_full",
    "unflatten",
]
