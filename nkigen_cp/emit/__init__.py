"""NKI IR to NKI source and, where the Neuron toolchain is installed, to a NEFF."""

from nkigen_cp.emit.neff import emit_neff
from nkigen_cp.emit.source import emit_nki

__all__ = ["emit_neff", "emit_nki"]
