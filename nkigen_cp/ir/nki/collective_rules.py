"""Rules of collectives. Source: AWS Neuron SDK docs, nki/api/nki/collectives (NKI 0.6)."""

from __future__ import annotations

from collections.abc import Iterator

from nkigen_cp.ir.collectives import COLLECTIVES, COMBINED_BY, Groups, groups_problem
from nkigen_cp.ir.nki.kernel import Instruction, Kernel, walk
from nkigen_cp.ir.nki.site import Site
from nkigen_cp.targets.target import Target


def _groups(instruction: Instruction) -> Groups:
    groups = instruction.args["replica_group"]
    assert isinstance(groups, tuple)
    return groups


def replica_groups(site: Site) -> str | None:
    """Groups of one size with every rank in one of them."""
    problem = groups_problem(_groups(site.instruction))
    return f"has replica groups that {problem}" if problem else None


def whole_buffers(site: Site) -> str | None:
    """Ranks exchange whole tensors of one dtype."""
    dst, src = site.use("dst"), site.use("src")
    for use in (dst, src):
        if use.view.result_shape != use.buffer.shape:
            return f"takes {use.view.result_shape} of {use}; it must be the whole buffer"
    if dst.buffer.dtype != src.buffer.dtype:
        return f"makes {dst.buffer.dtype} of {src.buffer.dtype}; they must be equal"
    return None


def exchanged_shape(site: Site) -> str | None:
    """The first dims fit the size of the groups."""
    collective, count = COLLECTIVES[site.row.name], len(_groups(site.instruction)[0])
    dst, src = site.use("dst").view.result_shape, site.use("src").view.result_shape
    if site.argument("collective_dim") not in (None, 0):
        return f"works along dim {site.argument('collective_dim')}; in HBM it must be 0"
    if collective.splits and src[0] % count:
        return f"cuts {src[0]} positions into {count} pieces; they must be equal"
    wanted = collective.shape(src, count)
    return None if dst == wanted else f"makes {dst} of {src} on {count} ranks; it must be {wanted}"


def reduced_by(site: Site) -> str | None:
    """Ranks add, or take the largest or smallest, in floating point."""
    op = site.argument("op")
    if site.row.parameter("op") is None:
        return None
    if op not in COMBINED_BY:
        return f"reduces by {op!r}; allowed are {', '.join(COMBINED_BY)}"
    dtype = site.use("src").buffer.dtype
    return None if dtype.is_float else f"reduces {dtype}; it must be a float"


def _ranks(kernel: Kernel) -> Iterator[int]:
    for statement in walk(kernel.body):
        if isinstance(statement, Instruction) and statement.kind in COLLECTIVES:
            yield sum(map(len, _groups(statement)))


def ranks_of(kernel: Kernel) -> int | None:
    """On how many ranks a kernel runs; None if that is all the same to it."""
    return next(_ranks(kernel), None)


def same_ranks(kernel: Kernel, target: Target) -> str | None:
    """All collectives are over the same ranks."""
    del target
    counts = dict.fromkeys(_ranks(kernel))
    if len(counts) < 2:
        return None
    return f"has collectives over {' and over '.join(map(str, counts))} ranks; all run all of them"
