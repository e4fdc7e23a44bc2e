from __future__ import annotations

from dataclasses import dataclass

from nkigen_cp.cli.show import progress_text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    objective_ns: float
    bound_ns: float | None = None
    gap: float | None = None


def test_progress_shows_bound_and_gap() -> None:
    shown = progress_text(_Progress(objective_ns=93500, bound_ns=88460, gap=0.054))
    assert shown == "best 93.5 us, bound 88.5 us, gap 5.4 %"


def test_progress_before_a_bound_is_known() -> None:
    assert progress_text(_Progress(objective_ns=1e6)) == ("best 1,000.0 us, bound -, gap -")
