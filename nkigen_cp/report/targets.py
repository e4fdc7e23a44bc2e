"""The page of targets: every figure of every chip with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, cast

from nkigen_cp.targets import TARGETS, Target


def targets_markdown() -> str:
    """The page ``docs/targets.md``."""
    lines = [
        "# Targets",
        "",
        "Made by `nkigen-cp targets --markdown` from `nkigen_cp/targets/*.json`. Figures are per",
        "NeuronCore. A file of your own in the same form is a target too: `--target chip.json`,",
        "`cp.load_target`.",
        "",
        f"| figure | {' | '.join(TARGETS)} |",
        f"| --- |{' --- |' * len(TARGETS)}",
    ]
    first = next(iter(TARGETS.values()))
    for key in first.sources:
        cells = [_cell(target, key) for target in TARGETS.values()]
        lines.append(f"| `{key}` | {' | '.join(cells)} |")
    for name, target in TARGETS.items():
        lines += ["", f"## Sources of {name}", "", "| figure | source |", "| --- | --- |"]
        lines += [f"| `{key}` | {_escaped(text)} |" for key, text in target.sources.items()]
    return "\n".join([*lines, ""])


def _cell(target: Target, key: str) -> str:
    """The figure at a dotted key."""
    value: Any = target
    for part in key.split("."):
        value = (
            getattr(value, part) if is_dataclass(value) else cast("Mapping[str, Any]", value)[part]
        )
    if isinstance(value, tuple):
        return ", ".join(str(v) for v in cast("tuple[Any, ...]", value)) or "none"
    return str(value)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
