"""Names of tensors: the user's variables, seen in the frames that hold the tensors.

A tensor is bound to its variable only after the call that made it, so frames are looked at when the
next op is recorded. The last tensor of a function is never seen that way; for it the statement that
made it is read from the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType

from nkigen_cp.frontend.callsite import assigned_name, prefix_of
from nkigen_cp.frontend.tensor import TracedTensor
from nkigen_cp.ir.tensor.graph import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A frame at the line it was at when the latest tensor was recorded."""

    frame: FrameType
    prefix: str
    line: int


@dataclass(slots=True)
class Namer:
    """Collects a wished name per tensor number during the trace; ``resolve`` makes them unique."""

    explicit: dict[int, str] = field(default_factory=dict[int, str])
    wished: dict[int, str] = field(default_factory=dict[int, str])
    prefixes: dict[int, str] = field(default_factory=dict[int, str])
    _latest: int = -1
    _sites: tuple[_Site, ...] = ()

    def observe(self, frames: tuple[FrameType, ...]) -> None:
        """Name the tensors that the live frames' variables hold and that have no name yet."""
        for depth, frame in enumerate(frames):
            for variable, value in frame.f_locals.items():
                if isinstance(value, TracedTensor) and value.builder.namer is self:
                    prefix = "" if value.held in self.wished else prefix_of(frames[: depth + 1])
                    self.wished.setdefault(value.held, prefix + variable)
        self._name_by_statement(frames)

    def recorded(self, ident: int, frames: tuple[FrameType, ...]) -> None:
        """Note the tensor that the innermost frame just made."""
        prefixes = [prefix_of(frames[: depth + 1]) for depth in range(len(frames))]
        self.prefixes[ident] = prefixes[-1] if prefixes else ""
        self._latest = ident
        self._sites = tuple(
            _Site(frame=frame, prefix=prefix, line=frame.f_lineno)
            for frame, prefix in zip(frames, prefixes, strict=True)
        )

    def finish(self) -> None:
        """Name the last tensor of the trace, and let go of its frames."""
        self._name_by_statement(())
        self._sites = ()

    def _name_by_statement(self, live: tuple[FrameType, ...]) -> None:
        """Name the latest tensor after the outermost statement whose function has returned."""
        for site in self._sites:
            if self._latest in self.wished:
                return
            if any(site.frame is frame for frame in live):
                continue
            variable = assigned_name(site.frame.f_code.co_filename, site.line)
            if variable:
                self.wished[self._latest] = site.prefix + variable

    def resolve(self, inputs: Iterable[int], kinds: Mapping[int, str]) -> dict[int, str]:
        """Unique name per tensor number.

        Args:
            inputs: numbers of the graph's inputs; after explicit names they choose first.
            kinds: number -> kind of the op that made it, in the order of recording; a tensor no
                variable held is named ``kind_k``.
        """
        names: dict[int, str] = {}
        unique = _Unique()
        for ident, name in self.explicit.items():
            names[ident] = unique.named(name)
        for ident in (*inputs, *kinds):
            if ident in names:
                continue
            if ident in self.wished:
                names[ident] = unique.named(self.wished[ident])
            else:
                names[ident] = unique.numbered(self.prefixes.get(ident, "") + kinds[ident])
        return names


@dataclass(slots=True)
class _Unique:
    """Hands out names, each once."""

    taken: set[str] = field(default_factory=set[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def named(self, wished: str) -> str:
        """The wished name in ASCII, else with ``_2``, ``_3``, ... behind it."""
        base = "".join(c if c.isascii() else "_" for c in wished)
        self.counts.setdefault(base, 1)
        if base in self.taken:
            return self.numbered(base)
        self.taken.add(base)
        return base

    def numbered(self, base: str) -> str:
        """``base_1``, ``base_2``, ..."""
        count = self.counts.get(base, 0) + 1
        while f"{base}_{count}" in self.taken:
            count += 1
        self.counts[base] = count
        self.taken.add(f"{base}_{count}")
        return f"{base}_{count}"


def variable_of(array: Array, frames: tuple[FrameType, ...]) -> str | None:
    """The innermost variable, local or global, that holds the captured array, with its prefix."""
    for depth in range(len(frames) - 1, -1, -1):
        for variable, value in frames[depth].f_locals.items():
            if value is array or (isinstance(value, TracedTensor) and value.literal is array):
                return prefix_of(frames[: depth + 1]) + variable
    for variable, value in frames[-1].f_globals.items() if frames else ():
        if value is array:
            return variable
    return None
