"""Published and measured times against the engine timeline: ``python -m benchmarks.timeline``.

Fitted, by the source of the model and to the tutorial's v2 only: 58 ns per DMA descriptor, 26 ns
per transfer. Every other row is predicted, but not blindly: that an engine's gap lies between
dependent instructions only, and never on the Tensor engine, was chosen by looking at these figures
(``nkigen_cp.simulate.timeline`` has the reasons). The tables therefore also show the reading that
was turned down, a gap after every instruction: rows that hardly differ do not rest on the choice.
The order effects are those that hand-tuned kernels show in their authors' own time model; the
kernels here are written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks.timeline.effects import attention, late_load, matmul_order
from benchmarks.timeline.kernels import LADDER, TUTORIAL
from nkigen_cp.ir.nki.kernel import Kernel
from nkigen_cp.simulate.timeline import estimate
from nkigen_cp.targets import TRN2
from nkigen_cp.targets.target import EngineFacts, Target

LADDER_PERCENT = dict(zip(LADDER, (16.0, 59.0, 83.7, 89.5), strict=True))
"""Share of peak on one trn2 core: nki-autotune .claude/rules/learnings.md."""

TUTORIAL_MS = {"v2": 39.9, "v3": 28.2, "v4": 28.4, "v5": 28.3}
"""AWS Neuron SDK docs, nki/guides/tutorials/kernel-optimization.rst and its profiles."""

FITTED = ("v2",)
LADDER_POINTS = 12.0
TUTORIAL_TOLERANCE = 0.10
DISTINCT = 0.02
"""Published figures further apart than this must be ranked right."""

Write = Callable[[], Kernel]
Modelled = Callable[[Target], dict[str, float]]
BOTH = ("vector", "scalar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Two orders of one kernel with their measured times in microseconds."""

    name: str
    worse: Write
    better: Write
    worse_us: float
    better_us: float

    @property
    def published(self) -> float:
        """By how much the worse order is slower, as a fraction."""
        return self.worse_us / self.better_us - 1.0

    def modelled(self, target: Target = TRN2) -> float:
        """The same by the timeline."""
        worse, better = (estimate(write(), target) for write in (self.worse, self.better))
        return worse.latency_ns / better.latency_ns - 1.0


EFFECTS = (
    *(
        Effect(
            name=f"attention, distance {d} against 4",
            worse=lambda d=d: attention(d),
            better=lambda: attention(4),
            worse_us=us,
            better_us=445.0,
        )
        for d, us in ((1, 781.0), (2, 523.0), (3, 445.0))
    ),
    Effect(
        name="k innermost against outermost",
        worse=lambda: matmul_order(k_inner=True, engines=BOTH),
        better=lambda: matmul_order(k_inner=False, engines=BOTH),
        worse_us=237.8,
        better_us=223.6,
    ),
    Effect(
        name="one late load",
        worse=lambda: late_load(late=True),
        better=lambda: late_load(late=False),
        worse_us=127.0,
        better_us=93.5,
    ),
    Effect(
        name="evictions on one engine against two",
        worse=lambda: matmul_order(k_inner=False, engines=("vector",)),
        better=lambda: matmul_order(k_inner=False, engines=BOTH),
        worse_us=235.4,
        better_us=223.6,
    ),
)


def gap_everywhere(target: Target = TRN2) -> Target:
    """The reading turned down: the gap, in whole cycles, is part of every instruction."""

    def slower(facts: EngineFacts) -> EngineFacts:
        cycles = round(facts.gap_ns * facts.clock_ghz)
        return replace(
            facts,
            min_issue_cycles=facts.min_issue_cycles + cycles,
            start_cycles=facts.start_cycles + cycles,
            gap_ns=0.0,
        )

    return replace(target, engines={name: slower(e) for name, e in target.engines.items()})


def ladder(target: Target = TRN2) -> dict[str, float]:
    """Modelled share of peak, in percent, per rung."""
    found = {name: estimate(write(), target) for name, write in LADDER.items()}
    return {name: 100.0 * e.engine_bound_ns / e.latency_ns for name, e in found.items()}


def tutorial(target: Target = TRN2) -> dict[str, float]:
    """Modelled milliseconds per variant."""
    return {name: estimate(write(), target).latency_ns / 1e6 for name, write in TUTORIAL.items()}


def misranked(published: Mapping[str, float], modelled: Mapping[str, float]) -> list[str]:
    """Pairs whose published figures are distinct and whose modelled ones are in another order."""
    names = list(published)
    return [
        f"{a} and {b}"
        for k, a in enumerate(names)
        for b in names[k + 1 :]
        if abs(published[a] - published[b]) > DISTINCT * max(published[a], published[b])
        and (published[a] < published[b]) != (modelled[a] < modelled[b])
    ]


def _rows(title: str, unit: str, published: Mapping[str, float], modelled: Modelled) -> None:
    found, other = modelled(TRN2), modelled(gap_everywhere())
    print(f"\n| {title} | published {unit} | model {unit} | | gap everywhere |")
    print("|---|---|---|---|---|")
    for name, value in published.items():
        basis = "fitted by the source" if name in FITTED else "predicted"
        print(f"| {name} | {value:.1f} | {found[name]:.1f} | {basis} | {other[name]:.1f} |")
    wrong = misranked(published, found)
    print(f"\nMisranked pairs: {', '.join(wrong) if wrong else 'none'}")


def main() -> None:
    """Print the tables."""
    print("Engine timeline against published figures (trn2, one core).")
    print("Fitted by the source of the model: 58 ns per DMA descriptor, 26 ns per transfer.")
    print("Chosen by looking at these figures: an engine's gap lies between dependent instructions")
    print(
        "only, and never on the Tensor engine ('k innermost' rests on that). The rest is predicted,"
    )
    print(
        "given the choice. The last column has the gap after every instruction instead: rows where"
    )
    print("it differs from the model rest on the choice too.")
    _rows("2048^3 bf16", "% of peak", LADDER_PERCENT, ladder)
    _rows("4096x8192x8192 f32", "ms", TUTORIAL_MS, tutorial)
    print("\n| order effect | hand-tuned | model | gap everywhere |\n|---|---|---|---|")
    for effect in EFFECTS:
        found, other = effect.modelled(), effect.modelled(gap_everywhere())
        print(f"| {effect.name} | {effect.published:+.1%} | {found:+.1%} | {other:+.1%} |")
