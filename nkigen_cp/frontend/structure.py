"""The nested structure (tuples, lists, dicts) of a traced function's arguments and its result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nkigen_cp.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A tensor: entry ``position`` of the flat list, called ``label`` (``params_w``)."""

    position: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """A value that is no tensor and is part of the program."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A container: ``keys`` are dict keys, or 0, 1, ... of a sequence."""

    container: type[Any]
    keys: tuple[Any, ...]
    children: tuple[Tree, ...]


Tree = Leaf | Static | Node


def _children(value: object) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """Keys and values of a container; None for anything else."""
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        return tuple(entries), tuple(entries.values())
    if isinstance(value, (tuple, list)):
        items = tuple(cast("Sequence[Any]", value))
        return tuple(range(len(items))), items
    return None


def _label(parent: str, key: object) -> str:
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in str(key))
    return f"{parent}_{text}" if parent else text


def flatten(
    value: object, is_tensor: Callable[[object], bool], label: str = ""
) -> tuple[list[Any], Tree]:
    """The tensors of a nested value in order, and the structure that holds them.

    Leaves are labelled by their path: ``params_0``, ``params_w``.
    """
    leaves: list[Any] = []

    def build(item: object, name: str) -> Tree:
        if is_tensor(item):
            leaves.append(item)
            return Leaf(position=len(leaves) - 1, label=name)
        parts = _children(item)
        if parts is None:
            return Static(value=item)
        keys, values = parts
        return Node(
            container=type(item),
            keys=keys,
            children=tuple(build(v, _label(name, k)) for k, v in zip(keys, values, strict=True)),
        )

    tree = build(value, label)
    return leaves, tree


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """The nested value with ``leaves`` in the tensors' places."""
    if isinstance(tree, Leaf):
        return leaves[tree.position]
    if isinstance(tree, Static):
        return tree.value
    values = [unflatten(child, leaves) for child in tree.children]
    if issubclass(tree.container, dict):
        return dict(zip(tree.keys, values, strict=True))
    if hasattr(tree.container, "_fields"):  # namedtuple
        return tree.container(*values)
    return tree.container(values)


def labels(tree: Tree) -> Iterator[str]:
    """The labels of the tree's tensors, in order."""
    if isinstance(tree, Leaf):
        yield tree.label
    elif isinstance(tree, Node):
        for child in tree.children:
            yield from labels(child)


def match(tree: Tree, value: object, label: str) -> Iterator[Any]:
    """The tensors of a value that has the tree's structure, in order.

    Raises:
        ArgumentError: the structure differs, or a static value is not the one of the trace.
    """
    if isinstance(tree, Leaf):
        yield value
    elif isinstance(tree, Static):
        if not _same(tree.value, value):
            raise ArgumentError(
                f"argument {label!r} was {tree.value!r} when the function was traced and is "
                f"{value!r} now; trace again to change a static argument"
            )
    else:
        parts = _children(value)
        if parts is None or parts[0] != tree.keys:
            raise ArgumentError(
                f"argument {label!r} must be a {tree.container.__name__} with entries "
                f"{list(tree.keys)} as when traced, got {type(value).__name__}"
            )
        for child, key, item in zip(tree.children, tree.keys, parts[1], strict=True):
            yield from match(child, item, _label(label, key))


def _same(first: object, second: object) -> bool:
    if first is second:
        return True
    try:
        return bool(np.all(np.equal(cast("Any", first), cast("Any", second))))
    except (TypeError, ValueError):
        return bool(first == second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """How a traced function is called: its signature, and one tree per parameter.

    ``wide`` has the positions of the inputs that were traced as 64-bit types, which became 32-bit.
    """

    signature: inspect.Signature
    trees: Mapping[str, Tree]
    wide: tuple[int, ...] = ()

    def flatten(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The graph's inputs, in order, out of a call's arguments.

        Raises:
            ArgumentError: the call does not fit the signature or the traced structure.
        """
        bound = bind(self.signature, args, kwargs)
        found: list[Any] = []
        for parameter, tree in self.trees.items():
            found.extend(match(tree, bound[parameter], parameter))
        return found


def bind(
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    defaults: bool = True,
) -> dict[str, Any]:
    """Argument per parameter in the signature's order, with or without defaults.

    Raises:
        ArgumentError: the arguments do not fit the signature.
    """
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(f"the arguments do not fit {signature}: {error}") from error
    if defaults:
        bound.apply_defaults()
    return dict(bound.arguments)
