"""Inputs updated in place: only the window is written, and what is read is in order."""

# The traced functions take Any, whose members strict mode calls unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nkigen_cp as cp
from nkigen_cp.ir.nki.kernel import Kernel, Memory
from tests.api.test_writes import assert_same
from tests.frontend.written import normal


def columns(cache: Any, k: Any) -> None:
    cache[:, 5:8] = k


def computed(cache: Any, k: Any) -> Any:
    cache[5:8] = k * 2
    return k + 1


def two_windows(cache: Any, k: Any) -> None:
    cache[1:4] = k * 2
    cache[60:, :3] = k[0, 0]


def attention(cache: Any, k: Any) -> Any:
    cache[5:8] = k @ k.T @ k
    return k @ cache[:8].T @ cache[:8]


def old_and_new(cache: Any, k: Any) -> Any:
    old = np.sum(cache, axis=0)
    cache[3] = k[0] + old
    return np.sum(cache, axis=0), old


def rows_added(cache: Any, k: Any) -> Any:
    cache[2:5] += k
    return cache[3] * 2


def returned(cache: Any, k: Any) -> Any:
    cache[0, 0] = k[0, 0]
    return cache


def doubled(cache: Any, k: Any) -> Any:
    cache[0] = k[0]
    return cache * 2, cache * 1


def two_caches(cache: Any, k: Any) -> Any:
    other = k.T
    cache[0] = k[1]
    other[3] = 1
    return cache @ other


def backwards(cache: Any, k: Any) -> None:
    cache[8:5:-1] = k
    cache.T[4, 10:13] = k[:, 0]


PLACED: tuple[Callable[..., Any], ...] = (
    computed,
    two_windows,
    attention,
    old_and_new,
    rows_added,
    returned,
    doubled,
    two_caches,
)


def _written(kernel: Kernel, name: str) -> bool:
    return kernel.buffers[name].memory is Memory.UPDATED


@pytest.mark.parametrize("function", PLACED, ids=lambda f: f.__name__)
def test_updated_in_place(function: Callable[..., Any]) -> None:
    kernel = assert_same(function, [normal(64, 16), normal(3, 16, seed=1)])
    assert _written(kernel, "cache")
    assert kernel.mutated_outputs["cache"] == "cache"
    source = cp.emit_nki(kernel)
    assert "dst=cache[" in source


def test_an_input_that_is_returned_is_not_copied() -> None:
    def fn(cache: Any, k: Any) -> Any:
        cache[0] = k[1]
        return k * 2, cache

    kernel = assert_same(fn, [normal(64, 16), normal(3, 16, seed=1)])
    counts = cp.count(kernel)
    assert counts.hbm_written_bytes == (16 + 3 * 16) * 4
    assert counts.compulsory_bytes == (64 * 16 + 3 * 16 + 16 + 3 * 16) * 4
    assert kernel.outputs[1] == "cache"
    assert cp.emit_nki(kernel).rstrip().endswith(", cache")


def four_rows(x: Any) -> Any:
    return x[5:9] * 2


def test_only_what_is_read_is_loaded() -> None:
    def fn(cache: Any, k: Any) -> Any:
        cache[5:8] = k
        return k @ cache[:8].T

    kernel = assert_same(fn, [normal(64, 16), normal(3, 16, seed=1)])
    assert cp.count(kernel).hbm_read_bytes <= (2 * 3 + 8) * 16 * 4
    before = assert_same(four_rows, [normal(64, 16)])
    assert cp.count(before).hbm_read_bytes == 4 * 16 * 4


def test_only_the_window_moves() -> None:
    kernel = assert_same(columns, [normal(64, 16), normal(64, 3, seed=1)])
    counts = cp.count(kernel)
    window = 64 * 3 * 4
    assert (counts.hbm_read_bytes, counts.hbm_written_bytes) == (window, window)
    assert counts.compulsory_bytes == 64 * 16 * 4 + 2 * window
    assert counts.instructions == 1
    assert cp.emit_nki(kernel).rstrip().endswith("nisa.dma_copy(dst=cache[0:64, 5:8], src=k)")


def shifted(cache: Any, k: Any) -> Any:
    cache[10:20] = cache[:10]
    return k * 2


def mostly(cache: Any, k: Any) -> Any:
    cache[1:] = k[0]
    return k * 2


def old_after_new(cache: Any, k: Any) -> Any:
    cache_before = cache * 1
    cache[0] = k[0]
    total = np.sum(cache, axis=0)
    return cache_before * total


def strided(cache: Any, k: Any) -> None:
    cache[:6:2] = k


@pytest.mark.parametrize("function", [shifted, mostly, strided], ids=lambda f: f.__name__)
def test_what_cannot_be_is_copied(function: Callable[..., Any]) -> None:
    kernel = assert_same(function, [normal(64, 16), normal(3, 16, seed=1)])
    assert not _written(kernel, "cache")
    assert list(kernel.mutated_outputs.values()) == ["cache"]


@pytest.mark.parametrize("function", [old_after_new, backwards], ids=lambda f: f.__name__)
def test_either_way_it_is_right(function: Callable[..., Any]) -> None:
    assert_same(function, [normal(64, 16), normal(3, 16, seed=1)])


def test_a_large_cache_is_not_moved() -> None:
    def decode(cache: Any, k: Any, q: Any) -> Any:
        cache[:, 100:101] = k
        scores = q @ cache.transpose(0, 2, 1)
        weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
        return (weights / np.sum(weights, axis=-1, keepdims=True)) @ cache

    shapes = ((4, 512, 64), (4, 1, 64), (4, 2, 64))
    kernel = assert_same(decode, [normal(*s, seed=k) for k, s in enumerate(shapes)])
    assert _written(kernel, "cache")
    assert cp.count(kernel).hbm_written_bytes == (4 * 64 + 4 * 2 * 64) * 4


def one_slot(cache: Any, k: Any, at: Any) -> None:
    cache[:, at] = k[:, :1]


def rows_picked(cache: Any, k: Any, at: Any) -> Any:
    cache[at - 70] = k[:1] * 2
    return k @ cache[:8].T


def old_and_new_picked(cache: Any, k: Any, at: Any) -> Any:
    old = np.sum(cache, axis=0)
    cache[at] = k[:1] + old
    return np.sum(cache, axis=0), old


def picked_and_read_there(cache: Any, k: Any, at: Any) -> Any:
    cache[at] = k[:1] - 1
    return cache[at] * 2, cache


def several(cache: Any, k: Any, at: Any) -> None:
    cache[at * np.array([1, 0, 1], np.int32)] = k[:3]


PICKED: tuple[Callable[..., Any], ...] = (
    one_slot,
    rows_picked,
    old_and_new_picked,
    picked_and_read_there,
    several,
)


@pytest.mark.parametrize("function", PICKED, ids=lambda f: f.__name__)
def test_positions_that_data_says_are_updated_in_place(function: Callable[..., Any]) -> None:
    place = np.array([11], np.int32)
    kernel = assert_same(function, [normal(64, 16), normal(64, 16, seed=1), place])
    assert _written(kernel, "cache")
    assert cp.count(kernel).by_kind["dma_put"] == (3 if function is several else 1)


def test_only_the_slot_that_data_says_is_written() -> None:
    kernel = assert_same(one_slot, [normal(64, 16), normal(64, 1), np.array([5], np.int32)])
    counts = cp.count(kernel)
    assert (counts.hbm_written_bytes, counts.hbm_read_bytes) == (64 * 4, 64 * 4 + 4)
    assert "dst=cache" in cp.emit_nki(kernel)


def all_picked(cache: Any, k: Any, at: Any) -> None:
    cache[at + np.arange(50, dtype=np.int32)] = k[:50]


def picked_twice(cache: Any, k: Any, at: Any) -> None:
    cache[at] = k[:1]
    cache[at + 1] = k[1:2]


@pytest.mark.parametrize("function", [all_picked, picked_twice], ids=lambda f: f.__name__)
def test_other_picked_positions_are_right(function: Callable[..., Any]) -> None:
    assert_same(function, [normal(64, 16), normal(64, 16, seed=1), np.array([5], np.int32)])
