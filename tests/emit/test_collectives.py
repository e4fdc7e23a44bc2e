"""Sources with collectives, run by the independent judge on several ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.emit import emit_nki
from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Alloc, Memory
from tests.emit import kernels
from tests.emit.collective_kernels import exchanged

_CHECKER = Path(__file__).resolve().parents[3] / "shared" / "nkicheck"
_JUDGE = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from nkisim import load_kernel, run_ranks
inputs = np.load(sys.argv[3])
kernel = load_kernel(sys.argv[2], sys.argv[4])
done = run_ranks(kernel, [list(x) for x in inputs["all"][:, None]], collect=True)
listed = [out if isinstance(out, (tuple, list)) else [out] for out, _ in done]
print(json.dumps({
    "outputs": [[np.asarray(o, np.float64).tolist() for o in outs] for outs in listed],
    "violations": [stats["violation_counts"] for _, stats in done],
}))
"""


def _judged(tmp_path: Path, source: str, name: str, inputs: Any) -> list[list[Any]]:
    """Every rank's outputs under nkicheck; none where it is not there."""
    if not _CHECKER.exists():
        return []
    (tmp_path / "kernel.py").write_text(source)
    np.savez(tmp_path / "inputs.npz", all=inputs)
    paths = [str(_CHECKER), str(tmp_path / "kernel.py"), str(tmp_path / "inputs.npz"), name]
    done = subprocess.run(
        [sys.executable, "-c", _JUDGE, *paths], capture_output=True, text=True, check=False
    )
    assert not done.returncode, f"{source}\n{done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout)
    assert not any(report["violations"]), f"{source}\n{report['violations']}"
    return report["outputs"]


def _ranks(*shape: int) -> Any:
    return np.random.default_rng(5).standard_normal((4, *shape)).astype(np.float32)


def _assert_close(got: Sequence[Any], want: Sequence[Any]) -> None:
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(mine), theirs, rtol=1e-5, atol=1e-5)


def test_every_collective_under_the_judge(tmp_path: Path) -> None:
    source = emit_nki(exchanged())
    assert "import nki\nimport nki.collectives as ncc\nimport nki.isa as nisa\n" in source
    assert "replica_group=ncc.ReplicaGroup([[0, 2], [3, 1]])" in source
    x = _ranks(4, 6)
    for rank, found in enumerate(_judged(tmp_path, source, "exchanged", x)):
        group = (0, 2) if rank in (0, 2) else (3, 1)
        held, place = [x[r] for r in group], group.index(rank)
        rows = slice(2 * place, 2 * place + 2)
        want = (
            held[0] + held[1],
            np.concatenate(held),
            np.maximum(held[0], held[1])[rows],
            np.concatenate([h[rows] for h in held]),
        )
        _assert_close(found, want)


def test_a_compiled_program_under_the_judge(tmp_path: Path) -> None:
    groups = [[0, 1], [2, 3]]

    def fn(x: Any) -> Any:
        mine = cp.collectives.reduce_scatter(np.exp(x), groups, axis=1)
        return cp.collectives.all_gather(mine * 2, groups, axis=1), cp.collectives.all_reduce(
            np.sum(x, axis=1), groups, "max"
        )

    x = _ranks(6, 8)
    kernel = cp.lower(cp.solve(cp.trace(fn, x[0]), effort="fast"))
    simulated = cp.simulate_ranks(kernel, [[own] for own in x])
    for rank, found in enumerate(_judged(tmp_path, emit_nki(kernel), kernel.name, x)):
        first = rank // 2 * 2
        pair = x[first : first + 2].astype(np.float64)
        want = 2 * np.exp(pair).sum(axis=0), pair.sum(axis=2).max(axis=0)
        _assert_close(found, want)
        _assert_close(simulated[rank], found)


def test_groups_that_are_none_have_no_spelling() -> None:
    x, y = (kernels.buffer(n, (4, 6), m) for n, m in (("x", Memory.INPUT), ("y", Memory.OUTPUT)))
    given: Any = {"dst": kernels.view(y), "src": kernels.view(x), "replica_group": 3, "op": "add"}
    built = kernels.kernel("bad", (x,), (y,), kernels.call("all_reduce", "dma", **given))
    with pytest.raises(KernelError, match="must be a tuple of replica groups"):
        emit_nki(built)
    t = kernels.sbuf("t", 4, 6)
    plain = kernels.kernel(
        "plain", (x,), (), Alloc(buffer=t), kernels.dma(*map(kernels.view, (t, x)))
    )
    assert "collectives" not in emit_nki(plain)
