"""Device loops: which iterations of a chosen loop run under ``nl.fori_loop``, and the rest.

A device loop's body is compiled once for all its trips, so whatever has to be known at compile time
must be the same in all of them. Iterations in which it is not are peeled off and stay in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nkigen_cp.ir.nki.kernel import Affine, Instruction, Loop, Statement
from nkigen_cp.ir.nki.loops import iterations, value_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An ``accumulate`` condition that depends on a loop: the loops between the two."""

    value: Affine
    inner: tuple[Loop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A loop to run on the device.

    The register advances by ``scale`` per iteration. ``unroll`` iterations make up one trip, so
    that their buffers can take turns. ``conditions`` depend on the loop.
    """

    scale: int
    unroll: int
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLoop(Loop):
    """A loop, or a part of one, under ``nl.fori_loop``; ``label`` is unique in the kernel."""

    label: str
    scale: int
    unroll: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Iterations ``lower <= var < upper``; on the device ``unroll`` of them per trip."""

    lower: Affine
    upper: Affine
    unroll: int = 0

    @property
    def on_device(self) -> bool:
        return self.unroll > 0


def parts(loop: Loop, choice: Choice, outer: Sequence[Loop]) -> tuple[Part, ...]:
    """The loop's iterations in order, cut where a condition is not the same for all that follow."""
    if loop.lower.terms or loop.upper.terms:
        return (Part(lower=loop.lower, upper=loop.upper, unroll=1),)
    lower, upper = loop.lower.const, loop.upper.const
    open_ranges = [_undecided(loop.var, c, outer) for c in choice.conditions]
    cuts = sorted({min(max(c, lower), upper) for r in open_ranges for c in (r.start, r.stop)})
    found: list[Part] = []
    for first, last in zip((lower, *cuts), (*cuts, upper), strict=True):
        if first == last:
            continue
        peeled = any(r.start <= first < r.stop for r in open_ranges)
        unroll = choice.unroll
        full = 0 if peeled else (last - first) // unroll
        # One trip is no loop.
        middle = first + full * unroll if full > 1 else first
        if middle > first:
            found.append(Part(lower=_const(first), upper=_const(middle), unroll=unroll))
        if middle < last:
            _peel(found, middle, last)
    return tuple(found)


def _peel(found: list[Part], first: int, last: int) -> None:
    """Append iterations that stay in Python, to those before them if these do, too."""
    if found and not found[-1].on_device:
        first = found.pop().lower.const
    found.append(Part(lower=_const(first), upper=_const(last)))


def _undecided(var: str, condition: Condition, outer: Sequence[Loop]) -> range:
    """Values of ``var`` for which the condition also depends on other loops."""
    stride = sum(t.stride for t in condition.value.terms if t.var == var)
    others = tuple(t for t in condition.value.terms if t.var != var)
    rest = Affine(const=condition.value.const, terms=others)
    values = value_range(rest, (*outer, *condition.inner))
    if stride > 0:
        return range(-values.high // stride + 1, -values.low // stride + 1)
    return range(-(values.low // stride), -(values.high // stride))


def _const(value: int) -> Affine:
    return Affine(const=value)


@dataclass(slots=True, kw_only=True, eq=False)
class _Scheduler:
    chosen: Mapping[str, Choice]
    labels: dict[str, int] = field(default_factory=dict[str, int])

    def body(self, body: tuple[Statement, ...], outer: tuple[Loop, ...]) -> tuple[Statement, ...]:
        return tuple(s for part in self.parts(body, outer) for s in part)

    def parts(self, body: tuple[Statement, ...], outer: tuple[Loop, ...]) -> list[list[Statement]]:
        """What becomes of every statement."""
        return [list(self.loop(s, outer)) if isinstance(s, Loop) else [s] for s in body]

    def loop(self, loop: Loop, outer: tuple[Loop, ...]) -> Iterator[Loop]:
        """The parts of a loop; on the device its iterations do not overlap."""
        choice = self.chosen.get(loop.var)
        if choice is None:
            inside = self.parts(loop.body, (*outer, loop))
            pairs = zip(inside, loop.delays, strict=False)
            yield replace(
                loop,
                body=tuple(s for part in inside for s in part),
                delays=tuple(delay for part, delay in pairs for _ in part),
            )
            return
        for part in parts(loop, choice, outer):
            piece = replace(loop, lower=part.lower, upper=part.upper, delays=())
            body = self.body(loop.body, (*outer, piece))
            if not part.on_device:
                yield replace(piece, body=body)
                continue
            count = self.labels[loop.var] = self.labels.get(loop.var, 0) + 1
            yield DeviceLoop(
                var=loop.var,
                lower=part.lower,
                upper=part.upper,
                body=body,
                note=loop.note,
                label=loop.var if count == 1 else f"{loop.var}_{count}",
                scale=choice.scale,
                unroll=part.unroll,
            )


def schedule(body: tuple[Statement, ...], chosen: Mapping[str, Choice]) -> tuple[Statement, ...]:
    """The body with the chosen loops replaced by device loops and peeled iterations."""
    return _Scheduler(chosen=chosen).body(body, ()) if chosen else body


def compiled_size(body: tuple[Statement, ...], env: Mapping[str, int] | None = None) -> int:
    """Instructions the NKI compiler sees: Python loops multiplied out, device loops not."""
    env, total = env or {}, 0
    for statement in body:
        if isinstance(statement, DeviceLoop):
            inside = {**env, statement.var: statement.lower.value(env)}
            total += statement.unroll * compiled_size(statement.body, inside)
        elif isinstance(statement, Loop):
            for inside, repeats in iterations(statement, env):
                total += repeats * compiled_size(statement.body, inside)
        elif isinstance(statement, Instruction):
            total += 1
    return total
