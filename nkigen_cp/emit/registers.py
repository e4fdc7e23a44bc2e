"""Addresses by register: how a view that moves with a device loop is written as an ``ap``.

The variable of ``nl.fori_loop`` is a register. NKI does no arithmetic on it; a view may take one
register as ``scalar_offset``, which counts positions of one dim (``indirect_dim``) of the tensor
that is indexed, but never of the partitions on chip. Source: AWS Neuron SDK docs,
nki/deep-dives/nki-dynamic-loops.rst and nki-aps.rst (NKI 0.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, isqrt, prod

from nkigen_cp.emit.expressions import affine
from nkigen_cp.emit.views import element_offset, pattern
from nkigen_cp.ir.nki.kernel import Affine, Buffer, LoopTerm, View
from nkigen_cp.ir.nki.views import row_major


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A device loop's variable: it is ``base + register / scale``.

    ``name`` is the register's identifier; ``base`` holds what is known at compile time.
    """

    name: str
    scale: int
    base: Affine


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The shape a buffer is indexed in, and the dim that the register counts positions of."""

    shape: tuple[int, ...]
    dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A view that moves ``elements`` per iteration of a loop."""

    buffer: Buffer
    shape: tuple[int, ...]
    elements: int


def stride_of(value: Affine, var: str) -> int:
    """How much ``value`` grows with ``var``."""
    return sum(t.stride for t in value.terms if t.var == var)


def variables(view: View) -> tuple[str, ...]:
    """The loop variables that the view's place depends on."""
    return tuple(dict.fromkeys(t.var for i in view.index for t in (Affine() + i.start).terms))


def indexed_base(buffer: Buffer, shape: tuple[int, ...], stride: int) -> Base | None:
    """A shape of ``buffer`` with a dim of that stride: its own, ``shape``, or a plain split."""
    first = 1 if buffer.memory.on_chip else 0
    for known in dict.fromkeys((buffer.shape, shape)):
        strides = row_major(known)
        fitting = [d for d in range(first, len(known)) if strides[d] == stride]
        if fitting:
            return Base(shape=known, dim=max(fitting, key=lambda d: known[d]))
    size = prod(buffer.shape[first:])
    if size % stride:
        return None
    return Base(shape=(*buffer.shape[:first], size // stride, stride), dim=first)


def common_scale(moves: Sequence[Move]) -> int | None:
    """What the register counts per iteration so that every view can use it; None if nothing fits.

    Prefers shapes that exist already to new ones, then the smallest scale.
    """
    best: tuple[int, int] | None = None
    for scale in _divisors(gcd(*(m.elements for m in moves))) if moves else (1,):
        bases = [(m, indexed_base(m.buffer, m.shape, m.elements // scale)) for m in moves]
        if any(base is None for _, base in bases):
            continue
        fresh = sum(b is not None and b.shape not in (m.buffer.shape, m.shape) for m, b in bases)
        best = min(best or (fresh, scale), (fresh, scale))
    return None if best is None else best[1]


def _divisors(number: int) -> Iterable[int]:
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return dict.fromkeys((*small, *(number // d for d in reversed(small))))


def register_of(view: View, registers: Mapping[str, Register]) -> str | None:
    """The device loop's variable that the view moves with; there is at most one."""
    return next((v for v in variables(view) if v in registers), None)


def moving_base(view: View, buffer: Buffer, var: str, register: Register) -> Base:
    """What the view that moves with ``var`` indexes; the loop was chosen because there is one."""
    stride = stride_of(element_offset(view), var) // register.scale
    base = indexed_base(buffer, view.shape, stride)
    assert base is not None
    return base


def resolved(value: Affine, registers: Mapping[str, Register]) -> Affine:
    """``value`` with the compile-time part of every register's variable in its place."""
    known = Affine(const=value.const)
    for term in value.terms:
        register = registers.get(term.var)
        known = known + (register.base * term.stride if register else Affine(terms=(term,)))
    return known


def spell_ap(
    view: View,
    buffer: Buffer,
    name: str,
    dim: int,
    registers: Mapping[str, Register],
    loop_vars: Mapping[str, str],
) -> str:
    """The view as an ``ap`` of ``name``, addressed by the register it moves with."""
    var = register_of(view, registers)
    assert var is not None
    offset = affine(resolved(element_offset(view), registers), loop_vars)
    text = f"{name}.ap(pattern={pattern(view, buffer)}, offset={offset}"
    return f"{text}, scalar_offset={registers[var].name}, indirect_dim={dim})"


def turn_name(label: str) -> str:
    """The IR's name of the Python loop inside one trip of device loop ``label``."""
    return f"{label}/turn"


def turn(label: str) -> Affine:
    """The variable of that loop."""
    return Affine(terms=(LoopTerm(var=turn_name(label), stride=1),))
