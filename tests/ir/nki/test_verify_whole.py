"""Rules of whole kernels, each broken once by a tiny kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nkigen_cp.errors import KernelError
from nkigen_cp.ir.nki.kernel import Alloc, Kernel, Memory, Statement
from nkigen_cp.ir.nki.verify import STRUCTURE, WHOLE, verify_kernel
from nkigen_cp.targets import TRN2
from tests.ir.nki.builder import at, buffer, kernel, loop, op, var, view
from tests.ir.nki.test_verify import A, B, P, X, Y, copy, part, whole

LOAD = op("dma_copy", dst=view(A), src=view(X))
STORE = op("dma_copy", dst=view(Y), src=view(A))


def grouped(*inner: Statement) -> Kernel:
    """An accumulation loop over k around ``inner``."""
    group = op(
        "nc_matmul",
        dst=view(P),
        stationary=view(W),
        moving=view(A),
        accumulate=var("k"),
    )
    return kernel((X, Y, A, P, W), FILL, LOAD, loop("k", 4, group, *inner), STORE)


W = buffer("w", (128, 128))
FILL = op("memset", dst=view(W), value=1.0)
BIG = buffer("big", (128, 30000))
STAGE = [buffer(n, (128, 64), copies=2) for n in "st"]


def pipelined(*delays: int, outside: bool = False, copies: int = 2) -> Kernel:
    """A loop that loads s, copies it to t and t to y, with these delays."""
    s, t = (replace(b, copies=copies) for b in STAGE)
    body = (
        op("dma_copy", dst=view(s), src=view(X)),
        op("tensor_copy", dst=view(t), src=view(s)),
        op("dma_copy", dst=view(Y), src=view(t)),
    )
    inside = (Alloc(buffer=s), Alloc(buffer=t))
    made = loop("i", 4, *body) if outside else loop("i", 4, *inside, *body)
    made = replace(made, delays=delays if outside else (0, 0, *delays))
    return kernel((X, Y, s, t), made, alloc=outside)


HALF = buffer("half", (128, 15000), copies=4)
EIGHT = buffer("eight", (128, 2560), "psum")
FOUR = buffer("four", (128, 2048), "psum")

U = replace(X, memory=Memory.UPDATED)


def exchanging(*groups: tuple[tuple[int, ...], ...]) -> Kernel:
    """A kernel that adds x over groups of ranks, once in each of these."""
    args = {"dst": view(Y), "src": view(X), "op": "add"}
    return kernel((X, Y), *(op("all_reduce", "dma", **args, replica_group=g) for g in groups))


KERNELS: list[tuple[str, str, Kernel]] = [
    ("borders", "not for 'trn2'", replace(kernel((X, Y, A), LOAD, STORE), target_name="trn1")),
    ("borders", "at most 128", kernel((X, Y, A, buffer("t", (129, 1))), LOAD, STORE)),
    (
        "borders",
        "updates 'x', which must be an input and a mutated output",
        kernel((U, Y, A), LOAD, STORE),
    ),
    ("ranks", "over 2 and over 4 ranks", exchanging(((0, 1),), ((0, 1), (2, 3)))),
    ("kinds", "uses 'fly'", kernel((X, Y, A), LOAD, op("fly"), STORE)),
    ("scopes", "not allocated", kernel((X, Y, A), LOAD, STORE, alloc=False)),
    (
        "scopes",
        "not allocated",
        kernel((X, Y, A), loop("i", 2, Alloc(buffer=A), LOAD), STORE, alloc=False),
    ),
    ("scopes", "defines buffer 'a' twice", kernel((X, Y, A), Alloc(buffer=A), LOAD, STORE)),
    ("scopes", "loop variable 'i' twice", kernel((X, Y, A), loop("i", 2, loop("i", 2)))),
    ("scopes", "uses loop variable 'k'", kernel((X, Y, A), loop("i", var("k")))),
    (
        "scopes",
        "uses loop variable 'k'",
        kernel((X, Y, A), LOAD, op("dma_copy", dst=view(Y), src=view(A, at(var("k"), 128)))),
    ),
    ("first_writes", "reads buffer 'a'", kernel((X, Y, A), STORE, LOAD)),
    (
        "outputs",
        "writes 4096 of the 8192 elements of output 'y'",
        kernel((X, Y, A), LOAD, op("dma_copy", dst=part(Y, 32), src=part(A, 32))),
    ),
    ("pipelines", "has delays (0, 0, 0, 0) for 5", pipelined(0, 0)),
    ("pipelines", "with delay 0 after delay 1", pipelined(1, 0, 1)),
    ("pipelines", "with delays [0, 1]", pipelined(0, 1, 1, outside=True)),
    ("pipelines", "1 copies of buffer 's'", pipelined(0, 1, 1, copies=1)),
    ("accumulation", "read since", grouped(op("tensor_copy", dst=view(A), src=view(P)))),
    (
        "accumulation",
        "other than nc_matmul",
        grouped(op("memset", dst=view(P), value=0.0)),
    ),
    (
        "sbuf",
        "needs 240000 bytes",
        kernel(
            (BIG, replace(BIG, name="more")),
            op("memset", dst=view(BIG), value=0.0),
            op("memset", dst=view(replace(BIG, name="more")), value=0.0),
            op("tensor_copy", dst=view(BIG), src=view(replace(BIG, name="more"))),
        ),
    ),
    (
        "sbuf",
        "needs 240000 bytes",
        kernel(
            (HALF,),
            loop("i", 8, Alloc(buffer=HALF), op("memset", dst=view(HALF), value=0.0)),
            alloc=False,
        ),
    ),
    (
        "psum",
        "needs 9 PSUM banks",
        kernel(
            (EIGHT, FOUR),
            op("memset", dst=view(EIGHT), value=0.0),
            op("memset", dst=view(FOUR), value=0.0),
            op("tensor_copy", dst=part(EIGHT, 2048), src=view(FOUR)),
        ),
    ),
]


@pytest.mark.parametrize(("rule", "text", "broken"), KERNELS)
def test_kernel_rules(rule: str, text: str, broken: Kernel) -> None:
    with pytest.raises(KernelError) as caught:
        verify_kernel(broken, TRN2)
    assert str(caught.value).startswith(f"rule {rule!r}: kernel 'tiny' ")
    assert text in str(caught.value)


def test_every_kernel_rule_is_broken_above() -> None:
    broken = [name for name, _, _ in KERNELS]
    assert [n for n in (*STRUCTURE, *WHOLE) if n not in broken] == []


def test_collectives_in_other_groups_of_the_same_ranks_pass() -> None:
    verify_kernel(exchanging(((0, 1), (2, 3)), ((0, 1, 2, 3),)), TRN2)


def test_a_pipelined_loop_passes() -> None:
    verify_kernel(pipelined(0, 1, 1), TRN2)
    verify_kernel(pipelined(1, 1, 1, outside=True, copies=1), TRN2)


def test_a_group_read_after_its_loop_passes() -> None:
    verify_kernel(grouped(), TRN2)


def test_dead_buffers_give_their_space_back() -> None:
    later = replace(BIG, name="later")
    verify_kernel(
        kernel(
            (BIG, later),
            op("memset", dst=view(BIG), value=0.0),
            op("memset", dst=view(later), value=0.0),
        ),
        TRN2,
    )


def test_a_buffer_that_outlives_an_iteration_lives_through_the_loop() -> None:
    later = replace(BIG, name="later")
    body = (
        op("tensor_copy", dst=view(BIG), src=view(BIG)),
        op("memset", dst=view(later), value=0.0),
    )
    made = kernel((BIG, later), op("memset", dst=view(BIG), value=0.0), loop("i", 2, *body))
    with pytest.raises(KernelError, match="rule 'sbuf'"):
        verify_kernel(made, TRN2)


def test_loops_that_never_run_are_not_checked() -> None:
    outside = copy(part(A, 32, 64), part(B, 32))
    verify_kernel(whole(loop("i", 0, outside)), TRN2)


def test_an_input_may_be_updated_in_part() -> None:
    update = op("dma_copy", dst=part(U, 32), src=part(A, 32))
    made = kernel((U, Y, A), LOAD, update, STORE)
    updating = replace(made, inputs=("x",), mutated_outputs={"x": "x"})
    verify_kernel(updating, TRN2)
    constant = replace(updating, buffers={**updating.buffers, "x": X})
    with pytest.raises(KernelError, match="mutated"):
        verify_kernel(replace(updating, mutated_outputs={}), TRN2)
    with pytest.raises(KernelError, match="lists 'x' as output"):
        verify_kernel(constant, TRN2)
