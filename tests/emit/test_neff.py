"""NEFF compilation against stand-ins that accept the documented calls of the toolchain only."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

from nkigen_cp.emit import emit_neff
from nkigen_cp.emit.addresses import PIPELINE_OPTIONS
from nkigen_cp.emit.toolchain import PIP_COMMAND
from nkigen_cp.errors import ArgumentError, KernelError, ToolchainError
from nkigen_cp.ir.nki.kernel import Address, Alloc, Kernel, Loop, Statement
from tests.emit import kernels

LANGUAGE = {
    "nki/__init__.py": "def jit(fn): return ('jitted', fn)\n",
    "nki/isa.py": "",
    "nki/language.py": "",
    "nki/compiler/__init__.py": "",
}
OPTIONS = """
import pathlib
class CompileOptions:
    def __init__(self, *, target, output_path, artifacts_dir, lnc=1, neuronx_cc_args=()):
        assert (target, lnc) == ("trn2", 1)
        assert pathlib.Path(artifacts_dir).is_dir()
        self.output_path = output_path
    def set_pipeline_options(self, *options):
        type(self).pipeline = options
"""
DRIVER = (
    OPTIONS
    + """
from nki.framework.kernel import Kernel
def compile_to_bir(kernel, *, frontend, inputs, compile_opts, output_names):
    assert type(frontend).__name__ == "TracerFrontend" and isinstance(kernel, Kernel)
    assert kernel.fn.__code__.co_varnames[:2] == tuple(inputs) == ("x", "y")
    assert [a.shape for a in inputs.values()] == [(512, 256)] * 2 and output_names == ["out"]
    return "bir", "result"
def compile_bir_to_neff(opts, bir, zero_inputs, input_names, output_names):
    assert bir == "bir" and len(zero_inputs) == len(input_names) == 2
    pathlib.Path(opts.output_path).write_text("driver")
"""
)
FRONTENDS = """
import inspect
class TracerFrontend: pass
class Result: pass
class ParserFrontend:
    def compile(self, fn, *, inputs, target, lnc, artifacts_dir, dump_python_ast, output_names):
        assert "nisa.tensor_tensor(" in inspect.getsource(fn)
        assert target == "trn2" and lnc == 1 and output_names == ["out"]
        return Result()
"""
NCC_DRIVER = (
    OPTIONS
    + """
class CompiledKernel:
    @classmethod
    def from_frontend(cls, result, options):
        assert type(result).__name__ == "Result"
        self = cls()
        self.neff_path = options.output_path
        pathlib.Path(self.neff_path).write_text("ncc_driver")
        return self
"""
)
BUILDER = (
    OPTIONS
    + """
def compile_kernel(fn, *, inputs, outputs, compile_opts):
    names = (*inputs, *outputs)
    assert fn.__code__.co_varnames[:fn.__code__.co_argcount] == names == ("x", "y", "out")
    pathlib.Path(compile_opts.output_path).write_text("kernel_builder")
"""
)
KERNEL = "class Kernel:\n    def __init__(self, fn): self.fn = fn\n"
FRAMEWORK = {"nki/framework/__init__.py": "", "nki/framework/kernel.py": KERNEL}
STAND_INS: dict[str, tuple[dict[str, str], str]] = {
    "driver": (
        {
            **FRAMEWORK,
            "nki/compiler/driver.py": DRIVER,
            "nki/compiler/frontend.py": FRONTENDS,
        },
        "driver",
    ),
    "ncc_driver": (
        {"nki/compiler/ncc_driver.py": NCC_DRIVER, "nki/compiler/frontend.py": FRONTENDS},
        "ncc_driver",
    ),
    "kernel_builder": ({"nki/compiler/kernel_builder.py": BUILDER}, "kernel_builder"),
    "private module": (
        {**FRAMEWORK, "nki/compiler/_driver.py": DRIVER, "nki/compiler/frontend.py": FRONTENDS},
        "driver",
    ),
    "moved and private names": (
        {
            "nki/compiler/driver.py": NCC_DRIVER.replace("CompiledKernel", "_CompiledKernel")
            + FRONTENDS
        },
        "ncc_driver",
    ),
    "first path refuses": (
        {
            **FRAMEWORK,
            "nki/compiler/driver.py": DRIVER.replace("frontend, inputs", "frontend, tensors"),
            "nki/compiler/frontend.py": FRONTENDS,
            "nki/compiler/ncc_driver.py": NCC_DRIVER,
        },
        "ncc_driver",
    ),
}


def _install(
    files: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch, version: str = ""
) -> None:
    """Puts a package tree first on the path, as if it alone were installed."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    if version:
        information = root / f"nki-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: nki\nVersion: {version}\n"
        )
    for name in [n for n in sys.modules if n.split(".")[0] == "nki"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def _no_leftovers(monkeypatch: pytest.MonkeyPatch) -> object:
    """Forgets modules of the stand-in after each test."""
    yield
    for name in [n for n in sys.modules if n.split(".")[0] == "nki"]:
        del sys.modules[name]


@pytest.mark.parametrize("case", STAND_INS)
def test_documented_paths_compile(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, answer = STAND_INS[case]
    _install({**LANGUAGE, **files}, tmp_path / "site", monkeypatch)
    path = tmp_path / "build" / "vadd.neff"
    assert emit_neff(kernels.vadd(), path, target="trn2") == path
    assert path.read_text() == answer
    assert [p.name for p in path.parent.iterdir()] == ["vadd.neff"]
    assert "nkigen_cp_emitted_kernel" not in sys.modules


def _placed_vadd() -> Kernel:
    """``vadd`` with an address for both of its tiles."""
    made = kernels.vadd()
    (loop,) = made.body
    assert isinstance(loop, Loop)
    body: list[Statement] = []
    offset_bytes = 0
    for statement in loop.body:
        placed: Statement = statement
        if isinstance(statement, Alloc):
            place = Address(partition=0, offset_bytes=offset_bytes)
            offset_bytes += statement.buffer.partition_bytes
            placed = Alloc(buffer=dataclasses.replace(statement.buffer, address=place))
        body.append(placed)
    return dataclasses.replace(made, body=(dataclasses.replace(loop, body=tuple(body)),))


@pytest.mark.parametrize("case", ["driver", "ncc_driver", "kernel_builder"])
def test_addresses_of_the_plan_come_with_their_options(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = STAND_INS[case]
    _install({**LANGUAGE, **files}, tmp_path / "site", monkeypatch)
    emit_neff(_placed_vadd(), tmp_path / "vadd.neff")
    options = sys.modules[f"nki.compiler.{case}"].CompileOptions
    assert not hasattr(options, "pipeline")
    emit_neff(_placed_vadd(), tmp_path / "vadd.neff", loops="device", addresses="plan")
    assert options.pipeline == PIPELINE_OPTIONS


def test_without_a_toolchain_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install({}, tmp_path, monkeypatch)
    with pytest.raises(ToolchainError) as caught:
        emit_neff(kernels.vadd(), tmp_path / "vadd.neff")
    message = str(caught.value)
    assert "nki.compiler.driver lacks nki.compiler.driver.compile_to_bir" in message
    assert "nki.compiler.frontend.ParserFrontend" in message
    assert "nki not installed, neuronx-cc not installed" in message
    assert message.endswith(PIP_COMMAND)
    assert not (tmp_path / "vadd.neff").exists()


def test_placeholder_from_pypi_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install({"nki/__init__.py": ""}, tmp_path, monkeypatch, version="0.0.1")
    with pytest.raises(ToolchainError, match=r"nki 0\.0\.1 \(the placeholder from PyPI") as caught:
        emit_neff(kernels.vadd(), tmp_path / "vadd.neff")
    assert "pip uninstall -y nki" in str(caught.value)


def test_broken_installation_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"nki/compiler/driver.py": "raise OSError('libnrt.so not found')\n"}
    _install({**LANGUAGE, **broken}, tmp_path, monkeypatch, version="0.6.0")
    with pytest.raises(ToolchainError, match=r"Found: nki 0\.6\.0, neuronx") as caught:
        emit_neff(kernels.vadd(), tmp_path / "vadd.neff")
    assert "importing nki.compiler.driver: OSError: libnrt.so not found" in str(caught.value)


@pytest.mark.parametrize(
    ("last_line", "reason"),
    [
        ("raise RuntimeError('NCC_ISCH714')", "RuntimeError: NCC_ISCH714"),
        ("raise SystemExit(70)", "SystemExit: 70"),
        ("pass", "wrote no kernel.neff"),
    ],
)
def test_refusal_keeps_the_old_file(
    last_line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = BUILDER.rpartition("    pathlib")[0]
    files = {**LANGUAGE, "nki/compiler/kernel_builder.py": f"{head}    {last_line}\n"}
    _install(files, tmp_path / "site", monkeypatch)
    path = tmp_path / "out" / "vadd.neff"
    path.parent.mkdir()
    path.write_text("old")
    with pytest.raises(ToolchainError, match=reason):
        emit_neff(kernels.vadd(), path)
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 1


def test_target_and_kernel_errors_come_first(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="lowered for 'trn2', not for 'trn3'"):
        emit_neff(kernels.vadd(), tmp_path / "vadd.neff", target="trn3")
    broken = dataclasses.replace(kernels.vadd(), inputs=("z",))
    with pytest.raises(KernelError, match="'z'"):
        emit_neff(broken, tmp_path / "vadd.neff")
