"""Checks emitted source against the signatures of the NKI API, by its syntax tree alone.

The tables come from the stub files of the vendor's SDK (``data/nki_api.json`` says which release),
so a printer that drifts from the API is caught here and not on the user's machine.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from nkigen_cp.errors import KernelError


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParameter:
    """One parameter: default as source text, None if it is required.

    ``choice`` names the set its argument must come from, if there is one.
    """

    name: str
    default: str | None
    choice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The part of NKI that emitted source may use, by dotted path."""

    source: str
    modules: tuple[str, ...]
    decorators: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    functions: Mapping[str, tuple[ApiParameter, ...]]
    tensor_methods: Mapping[str, tuple[ApiParameter, ...]]

    def knows(self, path: str) -> bool:
        """Whether the dotted path names something."""
        names = (*self.modules, *self.decorators)
        return (
            path in names
            or path in self.functions
            or any(path in members for members in self.choices.values())
        )


@cache
def load_api() -> Api:
    """The signatures shipped with the package."""
    text = resources.files("nkigen_cp.emit").joinpath("data/nki_api.json").read_text("utf-8")
    raw: dict[str, Any] = json.loads(text)
    return Api(
        source=raw["source"],
        modules=tuple(raw["modules"]),
        decorators=tuple(raw["decorators"]),
        choices={name: tuple(members) for name, members in raw["choices"].items()},
        functions={name: _parameters(rows) for name, rows in raw["functions"].items()},
        tensor_methods={name: _parameters(rows) for name, rows in raw["tensor_methods"].items()},
    )


def _parameters(rows: Sequence[Mapping[str, Any]]) -> tuple[ApiParameter, ...]:
    return tuple(
        ApiParameter(name=r["name"], default=r.get("default"), choice=r.get("choice")) for r in rows
    )


def check_source(source: str) -> None:
    """Checks every NKI name and call in the source.

    Raises:
        KernelError: the source is no Python, or uses an unknown function, argument or enum
            member, or misses an argument; gives the line.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise KernelError(f"emitted source is not Python: {error}") from error
    _Checker(load_api()).visit(tree)


class _Checker(ast.NodeVisitor):
    def __init__(self, api: Api) -> None:
        self._api = api
        self._modules: dict[str, str] = {}
        self._lists: dict[str, None] = {}

    def _fail(self, node: ast.expr | ast.stmt, message: str) -> KernelError:
        text = ast.unparse(node)
        return KernelError(
            f"emitted source, line {node.lineno}: {message} in `{text}` ({self._api.source})"
        )

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name not in self._api.modules:
                raise self._fail(node, f"import of {alias.name!r}, which is not part of NKI")
            self._modules[alias.asname or alias.name] = alias.name

    def _path(self, node: ast.expr) -> str | None:
        """Dotted path of ``nl.add`` and the like; None for what is no NKI name."""
        if isinstance(node, ast.Name):
            return self._modules.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self._path(node.value)
            return base and f"{base}.{node.attr}"
        return None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self._path(node)
        if path is None:
            self.generic_visit(node)
        elif not self._api.knows(path):
            raise self._fail(node, f"unknown name {path}")

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(node.value, ast.List) and isinstance(target, ast.Name):
            self._lists[target.id] = None
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        path = self._path(node.func)
        if path is not None:
            parameters = self._api.functions.get(path)
            if parameters is None:
                raise self._fail(node, f"unknown function {path}")
            self._check_call(node, path, parameters)
        elif isinstance(node.func, ast.Attribute) and not self._appends(node.func):
            parameters = self._api.tensor_methods.get(node.func.attr)
            if parameters is None:
                raise self._fail(node, f"unknown tensor method {node.func.attr!r}")
            self._check_call(node, node.func.attr, parameters)
        self.generic_visit(node)

    def _appends(self, method: ast.Attribute) -> bool:
        """Whether the method adds to a list of tiles."""
        name = method.value
        return method.attr == "append" and isinstance(name, ast.Name) and name.id in self._lists

    def _check_call(self, node: ast.Call, name: str, parameters: tuple[ApiParameter, ...]) -> None:
        known = {p.name: p for p in parameters}
        if len(node.args) > len(parameters):
            raise self._fail(node, f"{name} takes {len(parameters)} arguments")
        given: dict[str, ast.expr] = {}
        for parameter, value in zip(parameters, node.args, strict=False):
            given[parameter.name] = value
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in known:
                raise self._fail(node, f"{name} has no argument {keyword.arg!r}")
            if keyword.arg in given:
                raise self._fail(node, f"{name} gets argument {keyword.arg!r} twice")
            given[keyword.arg] = keyword.value
        for parameter in parameters:
            if parameter.default is None and parameter.name not in given:
                raise self._fail(node, f"{name} misses argument {parameter.name!r}")
            if parameter.choice and parameter.name in given:
                self._check_choice(node, parameter, given[parameter.name])

    def _check_choice(self, node: ast.Call, parameter: ApiParameter, value: ast.expr) -> None:
        members = self._api.choices[parameter.choice or ""]
        path = self._path(value)
        if path not in members and ast.unparse(value) != parameter.default:
            raise self._fail(
                node,
                f"argument {parameter.name!r} is {ast.unparse(value)}, which is not one of "
                + ", ".join(m.removeprefix("nki.") for m in members),
            )
