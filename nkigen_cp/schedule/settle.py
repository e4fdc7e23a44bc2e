"""Steps in a new order or with new delays -> the lifetimes, copies and addresses that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nkigen_cp.solver.homes import Spans, spans_of
from nkigen_cp.solver.pack import pack, places
from nkigen_cp.solver.plan import Form, PlanData, Step
from nkigen_cp.targets.target import Target


def settled(
    plan: PlanData, steps: Sequence[Step], copies: Mapping[str, int], target: Target
) -> PlanData | None:
    """The plan with these steps and ``copies`` of forms; None if SBUF cannot hold it.

    Forms that are not named keep their copies.
    """
    numbered = tuple(replace(s, group=k) for k, s in enumerate(steps))
    uses: dict[str, list[Step]] = {f.name: [] for f in plan.forms}
    for step in numbered:
        for use in (*step.reads, *step.writes):
            uses[use.form].append(step)
    spans = spans_of([s.path for s in numbered])
    crossing = _crossing(plan.forms, uses)
    forms = [_settled(f, uses[f.name], spans, copies, f.name in crossing) for f in plan.forms]
    packed = pack(numbered, forms, target.sbuf_partition_bytes)
    if packed.peak_bytes > target.sbuf_partition_bytes:
        return None
    return replace(plan, steps=numbered, forms=packed.forms)


def _settled(
    form: Form, users: Sequence[Step], spans: Spans, copies: Mapping[str, int], crosses: bool
) -> Form:
    home = () if form.layout is None else form.layout.home
    first, last = spans.lifetime([s.group for s in users], home)
    if home and crosses:
        first, last = spans.of[home[-1]]
    each = form.partition_bytes // form.copies
    count = copies.get(form.name, form.copies)
    return replace(
        form,
        first_step=first,
        last_step=last,
        copies=count,
        partition_bytes=each * count,
        address=None,
    )


def _crossing(forms: Sequence[Form], uses: Mapping[str, Sequence[Step]]) -> set[str]:
    """Forms whose tiles of neighbouring iterations of their home are alive together."""
    place = places(forms)
    delays: dict[str, dict[int, None]] = {}
    for form in forms:
        home = () if form.layout is None else form.layout.home
        for step in uses[form.name] if home else ():
            delays.setdefault(place[form.name], {})[step.delay_in(len(home) - 1)] = None
    return {f.name for f in forms if len(delays.get(place[f.name], ())) > 1}
