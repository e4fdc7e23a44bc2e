"""Writing results: all files of a command or none, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from nkigen_cp.errors import ArgumentError

Writer = Callable[[Path], object]


def text(content: str) -> Writer:
    """A writer of UTF-8 text."""
    return lambda path: path.write_text(content, encoding="utf-8")


def write_files(directory: Path, writers: Mapping[str, Writer]) -> tuple[Path, ...]:
    """Have each writer write the file of its name in ``directory``; returns the paths.

    The directory is made if missing. Every file is complete before the first one gets its place.

    Raises:
        ArgumentError: the directory cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".writing-") as staging:
            for name, write in writers.items():
                write(Path(staging, name))
            for name in writers:
                os.replace(Path(staging, name), directory / name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArgumentError(
            f"{directory}: cannot be written ({reason}); give another -o"
        ) from error
    return tuple(directory / name for name in writers)
