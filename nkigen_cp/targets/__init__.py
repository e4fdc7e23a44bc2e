"""The chips the compiler knows, each read from the data file of its name in this folder."""

from __future__ import annotations

from pathlib import Path

from nkigen_cp.targets.load import load_target
from nkigen_cp.targets.target import DmaFacts, EngineFacts, Target

_HERE = Path(__file__).parent

TRN1 = load_target(_HERE / "trn1.json")
TRN2 = load_target(_HERE / "trn2.json")
TRN3 = load_target(_HERE / "trn3.json")

TARGETS: dict[str, Target] = {target.name: target for target in (TRN1, TRN2, TRN3)}

__all__ = ["TARGETS", "TRN1", "TRN2", "TRN3", "DmaFacts", "EngineFacts", "Target", "load_target"]
