"""Target files: what the shipped ones hold, and how a bad one is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nkigen_cp import targets
from nkigen_cp.errors import TargetError
from nkigen_cp.targets import TARGETS, TRN1, TRN2, TRN3, Target, load_target

PACKAGE = Path(targets.__file__).parent
Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return json.loads((PACKAGE / "trn2.json").read_text())


def _load(document: object, folder: Path) -> Target:
    path = folder / "chip.json"
    path.write_text(json.dumps(document))
    return load_target(path)


def test_shipped_targets_by_name() -> None:
    assert list(TARGETS) == ["trn1", "trn2", "trn3"]
    assert [t.generation for t in TARGETS.values()] == [2, 3, 4]


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_every_figure_has_a_source(target: Target) -> None:
    assert all(target.sources.values())
    assert {"hbm_bytes_per_ns", "engines.gpsimd.start_cycles", "dma.queues"} <= set(target.sources)
    assert list(target.engines) == ["tensor", "vector", "scalar", "gpsimd"]


def test_trn2_figures() -> None:
    assert (TRN2.sbuf_partition_bytes, TRN2.psum_banks, TRN2.psum_bank_bytes) == (212984, 8, 2048)
    assert TRN2.dma.engines * TRN2.dma.bytes_per_ns_per_engine == 368
    assert TRN2.engines["scalar"].sem_to_start_ns == TRN2.engines["vector"].sem_to_start_ns
    assert "power" in TRN2.alu_ops["gpsimd"]
    assert "exp" in TRN2.activations


def test_generations_differ_where_documented() -> None:
    assert not TRN1.vector_fast_modes
    assert TRN1.dma.transpose_fraction == 0
    assert "square" not in TRN2.alu_ops["vector"]
    assert "square" in TRN3.alu_ops["vector"]
    assert TRN1.hbm_bytes_per_ns < TRN3.hbm_bytes_per_ns


def test_load_accepts_own_file_and_whole_numbers_for_floats(
    document: Document, tmp_path: Path
) -> None:
    document["dma"]["latency_ns"]["value"] = 1300
    assert _load(document, tmp_path) == TRN2


def test_targets_compare_and_copy_by_value() -> None:
    assert copy.deepcopy(TRN2) == TRN2
    assert TRN1 != TRN2


def _drop(document: Document) -> None:
    del document["dma"]["queues"]


def _drop_group(document: Document) -> None:
    del document["engines"]["scalar"]


def _misspell(document: Document) -> None:
    document["psum_bank"] = document.pop("psum_banks")


def _strange(document: Document) -> None:
    document["zzz"] = {"value": 1, "source": "x"}


def _unknown_engine(document: Document) -> None:
    document["engines"]["pool"] = document["engines"]["gpsimd"]


def _bare(document: Document) -> None:
    document["partitions"] = 128


def _no_source(document: Document) -> None:
    document["partitions"]["source"] = ""


def _value(*path: str, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        node = document
        for key in path:
            node = node[key]
        node["value"] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"'dma\.queues' is missing; add .* whole number above 0"),
        (_drop_group, r"'engines\.scalar\.clock_ghz' is missing"),
        (_misspell, r"unknown key 'psum_bank'; did you mean 'psum_banks'\?"),
        (_strange, r"unknown key 'zzz'; allowed are name, generation"),
        (_unknown_engine, r"unknown key 'engines\.pool'"),
        (_bare, r"'partitions' is 128; allowed is"),
        (_no_source, r"'partitions' has the keys .* exactly 'value' and 'source'"),
        (_value("partitions", value="128"), r"'partitions' is '128'; allowed is a whole number"),
        (_value("partitions", value=0), r"whole number above 0"),
        (_value("partitions", value=True), r"whole number above 0"),
        (_value("hbm_bytes_per_ns", value=float("nan")), r"'hbm_bytes_per_ns' is nan; .* finite"),
        (_value("vector_fast_modes", value=1), r"allowed is true or false"),
        (_value("engines", "gpsimd", "start_cycles", value=-1), r"from 0 up"),
        (_value("alu_ops", "vector", value=["add", 3]), r"'alu_ops\.vector' .* list of names"),
    ],
)
def test_bad_file_names_file_key_and_what_is_allowed(
    document: Document, tmp_path: Path, change: Callable[[Document], None], message: str
) -> None:
    change(document)
    with pytest.raises(TargetError, match=message) as caught:
        _load(document, tmp_path)
    assert str(tmp_path / "chip.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_not_an_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "chip.json").write_text(text)
    with pytest.raises(TargetError, match="one object"):
        load_target(tmp_path / "chip.json")


def test_missing_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be read"):
        load_target(tmp_path / "none.json")
    (tmp_path / "chip.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError, match="is not JSON"):
        load_target(tmp_path / "chip.json")
