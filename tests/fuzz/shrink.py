"""A failing program made smaller: lines and results dropped while it still fails the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from nkigen_cp.errors import NkigenError
from tests.fuzz.pipeline import Done, WrongError, run
from tests.fuzz.program import Line, Program

Fails = Callable[[Program], bool]


def _failure(program: Program) -> str | None:
    """The kind of a program's defect, if it has one."""
    try:
        run(program)
    except (NkigenError, WrongError) as error:
        rule = re.search(r"rule '[^']*'", str(error))
        return f"{type(error).__name__} {rule.group() if rule else ''}"
    except Exception as error:  # any other exception is a defect, too
        return f"{type(error).__name__}: {error}"
    return None


def compiled(program: Program) -> Done:
    """The program, compiled and compared; a failure shows it as small as it gets."""
    try:
        return run(program)
    except Exception as error:
        kind = _failure(program)
        small = shrink(program, lambda p: _failure(p) == kind)
        message = f"{error}\n\n{small.describe()}\nfrom\n\n{program.describe()}"
        raise AssertionError(message) from error


def shrink(program: Program, fails: Fails) -> Program:
    """The smallest program that greedy dropping reaches; ``fails`` holds for it."""
    smaller = next((p for p in _smaller(program) if fails(p)), None)
    return program if smaller is None else shrink(smaller, fails)


def _smaller(program: Program) -> Iterator[Program]:
    """Programs with a result less, a line bypassed by one of its operands, or a line less."""
    if len(program.returns) > 1:
        for name in program.returns:
            kept = tuple(n for n in program.returns if n != name)
            yield _alive(replace(program, returns=kept))
    for line in reversed(program.lines):
        for other in line.reads:
            yield _alive(_bypassed(program, line, other))
    for line in program.lines:
        if line.name in program.returns:
            returns = tuple(dict.fromkeys(line.reads))
            yield _alive(replace(program, returns=returns))
    if program.sbuf_bytes is not None:
        yield replace(program, sbuf_bytes=None)


def _bypassed(program: Program, line: Line, other: str) -> Program:
    """What read the line reads its operand instead."""

    def renamed(text: str) -> str:
        return re.sub(rf"\b{line.name}\b", other, text)

    lines = tuple(
        replace(k, text=renamed(k.text), reads=tuple(dict.fromkeys(map(renamed, k.reads))))
        for k in program.lines
        if k.name != line.name
    )
    return replace(
        program, lines=lines, returns=tuple(dict.fromkeys(map(renamed, program.returns)))
    )


def _alive(program: Program) -> Program:
    """The program without lines and inputs that no result depends on."""
    needed = dict.fromkeys(program.returns)
    lines: list[Line] = []
    for line in reversed(program.lines):
        if line.name in needed:
            lines.append(line)
            needed.update(dict.fromkeys(line.reads))
    return replace(
        program,
        lines=tuple(reversed(lines)),
        inputs=tuple(i for i in program.inputs if i.name in needed),
    )
