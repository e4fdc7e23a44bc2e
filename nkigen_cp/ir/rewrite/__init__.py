"""Rewrites: from the traced graph to the core graph that the solver plans."""

from nkigen_cp.ir.rewrite.canonical import canonicalise

__all__ = ["canonicalise"]
