"""Finding the parts of the Neuron toolchain, whose internal names moved between releases."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

PIP_COMMAND = (
    'python -m pip install "nki>=0.6,<1" "neuronx-cc>=2,<3" '
    "--extra-index-url https://pip.repos.neuron.amazonaws.com"
)
_DISTRIBUTIONS = ("nki", "neuronx-cc")
# Every module that held one of the compile entry points in some release (NKI 0.3 to 0.6).
_HOMES = (
    "nki.compiler.driver",
    "nki.compiler.ncc_driver",
    "nki.compiler.frontend",
    "nki.compiler.kernel_builder",
    "nki.compiler",
    "nki.framework.kernel",
    "nki.framework",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A name of the toolchain and the module that documents it."""

    name: str
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Objects by symbol name, and what could not be found, as sentences."""

    objects: Mapping[str, Any]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Versions of the installed distributions, and whether ``nki`` is only a placeholder."""

    versions: Mapping[str, str]
    placeholder: bool

    def describe(self) -> str:
        """One line such as ``nki 0.6.0, neuronx-cc not installed``."""
        parts = [f"{d} {self.versions.get(d, 'not installed')}" for d in _DISTRIBUTIONS]
        if self.placeholder:
            parts[0] += " (the placeholder from PyPI: it has no nki.isa)"
        return ", ".join(parts)

    def remedy(self) -> str:
        """The commands that install the toolchain from the vendor's index."""
        if self.placeholder:
            return f"python -m pip uninstall -y nki neuronx-cc && {PIP_COMMAND}"
        return PIP_COMMAND


def installation() -> Installation:
    """Looks at the installed distributions without importing more than ``nki`` itself."""
    versions: dict[str, str] = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Installation(versions=versions, placeholder=_exists("nki") and not _exists("nki.isa"))


def find(symbols: Sequence[Symbol]) -> Found:
    """Looks every symbol up, first where it is documented, then wherever its kind has lived.

    What is documented in the first symbol's module is first sought where that one was found:
    several modules have a ``CompileOptions``, each for its own compile function.
    """
    objects: dict[str, Any] = {}
    missing: list[str] = []
    beside: tuple[str, ...] = ()
    for symbol in symbols:
        first = beside if symbol.home == symbols[0].home else ()
        homes = dict.fromkeys((*first, symbol.home, *_HOMES))
        home = next((h for h in homes if _attribute(h, symbol.name) is not None), None)
        if home is None:
            missing.append(f"{symbol.home}.{symbol.name}{_trouble(symbol.home)}")
            continue
        objects[symbol.name] = _attribute(home, symbol.name)
        beside = beside or (home,)
    return Found(objects=objects, missing=tuple(missing))


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # a broken installation raises anything while its parent is imported
        return False


def _spellings(home: str) -> tuple[str, str]:
    """The module, and its name with the underscore that NKI 0.5 put before internals."""
    parent, _, leaf = home.rpartition(".")
    return home, f"{parent}._{leaf}"


def _attribute(home: str, name: str) -> Any:
    """The object, or None; names may have gained the same underscore."""
    for path in _spellings(home):
        module = _load(path)
        for spelling in (name, f"_{name}"):
            if isinstance(module, ModuleType) and hasattr(module, spelling):
                return getattr(module, spelling)
    return None


def _trouble(home: str) -> str:
    """Why an existing module of this name could not be imported, in parentheses, or nothing."""
    for path in _spellings(home):
        module = _load(path)
        if isinstance(module, Exception):
            return f" (importing {path}: {type(module).__name__}: {module})"
    return ""


def _load(path: str) -> ModuleType | Exception | None:
    if not _exists(path):
        return None
    try:
        return importlib.import_module(path)
    except Exception as error:  # whatever it raises, this part is not usable; the user is told
        return error
