"""``python -m benchmarks.timeline`` prints the tables."""

from __future__ import annotations

from benchmarks.timeline.published import main

main()
