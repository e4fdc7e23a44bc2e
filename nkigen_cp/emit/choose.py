"""Chooses the loops that run on the device.

What the language allows (AWS Neuron SDK docs, nki/deep-dives/nki-dynamic-loops.rst and the release
notes of NKI 0.4 to 0.6): a register addresses a view through one ``scalar_offset``, never its
partitions; a bound, a condition or an offset known only to the device is none; what one trip leaves
for the next lies in buffers from outside the loop, and not where such loops are nested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nkigen_cp.emit.device import Choice, compiled_size, schedule
from nkigen_cp.emit.nests import Nest, nested, survey
from nkigen_cp.errors import ArgumentError
from nkigen_cp.ir.nki.kernel import Kernel, Statement

UNROLLED_LIMIT = 1_000_000
"""Most instructions an unrolled program may have under ``loops="auto"``.

The vendor's compiler refused graphs above 5,000,000 of its own instructions (aws-neuron-sdk issues
987 and 819; third-party reports, today's limit is undocumented). One of ours may become several of
those, a matmul two; a million, the project's own figure, leaves room for that.
"""

LOOPS = ("auto", "unrolled", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The body with its device loops, whose variables ``device`` names.

    If every loop that can was to run on the device, ``reasons`` says why the others do not.
    """

    body: tuple[Statement, ...]
    device: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])


def choose(kernel: Kernel, loops: str) -> Chosen:
    """Which loops run on the device.

    ``"device"`` takes every loop that can, outer ones first; ``"auto"`` none as long as the
    unrolled program has at most UNROLLED_LIMIT instructions, else the cheapest until it has.

    Raises:
        ArgumentError: ``loops`` is none of LOOPS.
    """
    if loops not in LOOPS:
        raise ArgumentError(f"emit_nki: loops={loops!r} is not one of {', '.join(LOOPS)}")
    body = kernel.body
    if loops == "unrolled" or (loops == "auto" and compiled_size(body) <= UNROLLED_LIMIT):
        return Chosen(body=body)
    nests = survey(body, kernel.buffers)
    judged = {var: nest.choice() for var, nest in nests.items()}
    pick = _all if loops == "device" else _cheapest
    chosen = pick(kernel, nests, {v: c for v, c in judged.items() if isinstance(c, Choice)})
    reasons: dict[str, str] = {}
    if loops == "device" and chosen:
        taken = {var: nests[var] for var in chosen}
        for var, choice in judged.items():
            reason = choice if isinstance(choice, str) else _conflict(nests[var], taken)
            if var not in chosen and reason:
                reasons[var] = reason
    return Chosen(body=schedule(body, chosen), device=tuple(chosen), reasons=reasons)


def _conflict(nest: Nest, taken: Mapping[str, Nest]) -> str | None:
    """Why the loop cannot be a device loop together with those already taken."""
    for other in nested(nest, taken):
        var = other.loop.var
        if var in nest.beside:
            return f"views of {nest.beside[var]!r} move with it and with {var!r}: two registers"
        for carrying in (nest, other):
            if carrying.carried:
                held, what = next(iter(carrying.carried)), carrying.loop.var
                return f"{what!r} carries {held!r}, which nested device loops cannot"
    return None


def _all(_: Kernel, nests: Mapping[str, Nest], legal: Mapping[str, Choice]) -> dict[str, Choice]:
    chosen: dict[str, Choice] = {}
    for var, choice in legal.items():
        if _conflict(nests[var], {v: nests[v] for v in chosen}) is None:
            chosen[var] = choice
    return chosen


def _cheapest(
    kernel: Kernel, nests: Mapping[str, Nest], legal: Mapping[str, Choice]
) -> dict[str, Choice]:
    """Loops in order of cost per instruction saved, until the program is small enough."""
    chosen: dict[str, Choice] = {}
    size = compiled_size(kernel.body)
    while size > UNROLLED_LIMIT:
        taken = {v: nests[v] for v in chosen}
        best: tuple[float, str, int] | None = None
        for var, choice in legal.items():
            if var in chosen or _conflict(nests[var], taken) is not None:
                continue
            smaller = compiled_size(schedule(kernel.body, {**chosen, var: choice}))
            if smaller < size:
                rate = _cost(nests[var]) / (size - smaller)
                best = min(best or (rate, var, smaller), (rate, var, smaller))
        if best is None:
            break
        chosen[best[1]], size = legal[best[1]], best[2]
    return {var: chosen[var] for var in nests if var in chosen}


def _cost(nest: Nest) -> int:
    """Device trips plus on-chip accesses by register, weighed alike; this only ranks loops.

    What a trip costs is not documented. A register in an on-chip address raises an instruction to
    at least 600 cycles (AWS Neuron SDK, release 2.26, tensor_copy_dynamic_src).
    """
    return nest.executed + nest.chip_moves
