"""NKI IR to a NEFF, through whichever compile path of the installed Neuron toolchain works.

The paths are those the vendor's own tools take (none is public API), so each is one row: the
symbols it needs, the form of the kernel function it takes, and the call. Kernels are for one core.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nkigen_cp.emit.addresses import PIPELINE_OPTIONS
from nkigen_cp.emit.scope import Scope, build_scope
from nkigen_cp.emit.source import Form, Options, write_source
from nkigen_cp.emit.toolchain import Symbol, find, installation
from nkigen_cp.errors import ArgumentError, ToolchainError
from nkigen_cp.ir.dtypes import BOOL, UINT8
from nkigen_cp.ir.nki.kernel import Kernel

_MODULE = "nkigen_cp_emitted_kernel"
_LNC = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One compilation: arrays of zeros by argument name stand for shapes and dtypes.

    ``pipeline`` are options of the compiler's passes.
    """

    inputs: Mapping[str, NDArray[np.generic]]
    outputs: Mapping[str, NDArray[np.generic]]
    target: str
    artifacts: Path
    pipeline: tuple[str, ...] = ()

    @property
    def neff(self) -> Path:
        return self.artifacts / "kernel.neff"

    def tuned(self, options: Any) -> Any:
        """The toolchain's compile options with the kernel's pipeline options set."""
        if self.pipeline:
            options.set_pipeline_options(*self.pipeline)
        return options


Call = Callable[[Any, Job, Mapping[str, Any]], "str | os.PathLike[str]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One way through the toolchain; ``call(function, job, symbols)`` returns the NEFF's path."""

    name: str
    symbols: tuple[Symbol, ...]
    form: Form
    call: Call


def _driver(function: Any, job: Job, nki: Mapping[str, Any]) -> Path:
    options = nki["CompileOptions"](
        target=job.target, lnc=_LNC, output_path=str(job.neff), artifacts_dir=str(job.artifacts)
    )
    job.tuned(options)
    inputs, outputs = dict(job.inputs), list(job.outputs)
    bir, _ = nki["compile_to_bir"](
        nki["Kernel"](function),
        frontend=nki["TracerFrontend"](),
        inputs=inputs,
        compile_opts=options,
        output_names=outputs,
    )
    nki["compile_bir_to_neff"](options, bir, list(inputs.values()), list(inputs), outputs)
    return job.neff


def _frontend(function: Any, job: Job, nki: Mapping[str, Any]) -> str:
    result = nki["ParserFrontend"]().compile(
        function,
        inputs=dict(job.inputs),
        target=job.target,
        lnc=_LNC,
        artifacts_dir=str(job.artifacts),
        dump_python_ast=False,
        output_names=list(job.outputs),
    )
    options = nki["CompileOptions"](
        target=job.target,
        lnc=_LNC,
        output_path=str(job.neff),
        artifacts_dir=str(job.artifacts),
        neuronx_cc_args=(),
    )
    return nki["CompiledKernel"].from_frontend(result, job.tuned(options)).neff_path


def _kernel_builder(function: Any, job: Job, nki: Mapping[str, Any]) -> Path:
    options = nki["CompileOptions"](
        target=job.target,
        output_path=str(job.neff),
        artifacts_dir=str(job.artifacts),
        neuronx_cc_args=(),
    )
    nki["compile_kernel"](
        function,
        inputs=dict(job.inputs),
        outputs=dict(job.outputs),
        compile_opts=job.tuned(options),
    )
    return job.neff


def _adapter(home: str, form: Form, call: Call, **symbols: str) -> Adapter:
    """Symbols are given as name="" (in ``home``) or name="another.module"."""
    rows = tuple(Symbol(name=name, home=other or home) for name, other in symbols.items())
    return Adapter(name=home, symbols=rows, form=form, call=call)


ADAPTERS: tuple[Adapter, ...] = (
    _adapter(
        "nki.compiler.driver",
        Form.PLAIN,
        _driver,
        compile_to_bir="",
        compile_bir_to_neff="",
        CompileOptions="",
        Kernel="nki.framework.kernel",
        TracerFrontend="nki.compiler.frontend",
    ),
    _adapter(
        "nki.compiler.ncc_driver",
        Form.PLAIN,
        _frontend,
        CompiledKernel="",
        CompileOptions="",
        ParserFrontend="nki.compiler.frontend",
    ),
    _adapter(
        "nki.compiler.kernel_builder",
        Form.IN_PLACE,
        _kernel_builder,
        compile_kernel="",
        CompileOptions="",
    ),
)


def emit_neff(
    kernel: Kernel,
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    loops: str = "auto",
    addresses: str = "auto",
) -> Path:
    """Compiles the kernel with the installed Neuron toolchain and writes the NEFF to ``path``.

    The file appears complete or not at all. ``target`` defaults to the kernel's own and is there
    to be explicit; kernels are for one core (LNC 1), so run with NEURON_LOGICAL_NC_CONFIG=1.
    ``loops`` and ``addresses`` are those of ``emit_nki``; with the plan's addresses the compiler
    gets the pipeline options that go with them.

    Raises:
        ArgumentError: the kernel was lowered for another target, or an option is unknown.
        KernelError: the kernel has no NKI spelling.
        ToolchainError: the toolchain is missing (says what was looked for, what was found and
            the pip command) or refused the kernel (says what each path answered).
    """
    if target not in (None, kernel.target_name):
        raise ArgumentError(
            f"emit_neff: kernel {kernel.name!r} was lowered for {kernel.target_name!r}, not for "
            f"{target!r}; solve and lower it for {target!r} first"
        )
    options = Options(loops=loops, addresses=addresses)
    write_source(kernel, Form.JIT, options)  # the kernel's own errors come before the toolchain's
    destination = Path(path)
    missing: list[str] = []
    refused: list[str] = []
    for adapter in ADAPTERS:
        found = find(adapter.symbols)
        if found.missing:
            missing.append(f"{adapter.name} lacks {', '.join(found.missing)}")
            continue
        try:
            _compile(kernel, options, adapter, found.objects, destination)
        except (Exception, SystemExit) as error:  # compilers raise types of their own, or exit
            refused.append(f"{adapter.name}: {type(error).__name__}: {error}")
            continue
        return destination
    raise _failure(kernel, missing, refused)


def _failure(kernel: Kernel, missing: list[str], refused: list[str]) -> ToolchainError:
    found = installation()
    if refused:
        return ToolchainError(
            f"the Neuron toolchain refused kernel {kernel.name!r} ({found.describe()}): "
            + "; ".join(refused)
        )
    return ToolchainError(
        f"no NEFF for kernel {kernel.name!r}: no usable Neuron toolchain. Looked for: "
        f"{'; '.join(missing)}. Found: {found.describe()}. "
        f"Install it from the vendor's package index: {found.remedy()}"
    )


def _compile(
    kernel: Kernel,
    options: Options,
    adapter: Adapter,
    symbols: Mapping[str, Any],
    destination: Path,
) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Beside the destination, so that the finished file moves there in one step.
    with tempfile.TemporaryDirectory(prefix=".neff-", dir=destination.parent) as work:
        artifacts = Path(work)
        scope = build_scope(kernel)
        job = Job(
            inputs=_zeros(scope, scope.parameters),
            outputs=_zeros(scope, scope.results),
            target=kernel.target_name,
            artifacts=artifacts,
            pipeline=PIPELINE_OPTIONS if options.addresses == "plan" else (),
        )
        source = write_source(kernel, adapter.form, options)
        with _function(source, scope.function, artifacts) as function:
            neff = Path(adapter.call(function, job, symbols))
        if not neff.is_file() or not neff.stat().st_size:
            raise FileNotFoundError(f"the compiler reported success but wrote no {neff.name}")
        os.replace(neff, destination)


def _zeros(scope: Scope, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    for name in names:
        buffer = scope.buffers[name]
        dtype = UINT8 if buffer.dtype == BOOL else buffer.dtype  # NKI keeps truth values as bytes
        arrays[scope.names[name]] = np.zeros(buffer.shape, dtype.numpy)
    return arrays


@contextlib.contextmanager
def _function(source: str, name: str, artifacts: Path) -> Generator[Any, None, None]:
    """The emitted function, imported from a real file: the parser front end reads its source."""
    file = artifacts / f"{_MODULE}.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(_MODULE, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
        yield getattr(module, name)
    finally:
        del sys.modules[_MODULE]
