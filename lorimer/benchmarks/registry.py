"""From the `[benchmark] source` of lorimer.toml to an adapter."""

from __future__ import annotations

from pathlib import Path

from lorimer.benchmarks.base import Benchmark
from lorimer.benchmarks.harbor import HarborBenchmark
from lorimer.benchmarks.spreadsheet_bench import SpreadsheetBenchmark
from lorimer.benchmarks.starter import StarterBenchmark
from lorimer.benchmarks.terminal_bench import TerminalBenchmark
from lorimer.errors import ConfigError

KINDS = {
    "starter": "starter",
    "harbor": "harbor:DIR",
    "terminal-bench": "terminal-bench:DIR",
    "spreadsheetbench": "spreadsheetbench:DIR",
    "spreadsheetbench-soft": "spreadsheetbench-soft:DIR",
}
"""Kinds of benchmark, and how each is written."""


def open_benchmark(source: str, base: Path) -> Benchmark:
    """The adapter for `source`, such as `starter` or `harbor:tasks`; a relative DIR starts at `base`.

    Raises ConfigError that lists the kinds where `source` is none of them.
    """
    kind, colon, rest = source.partition(":")
    if kind == "starter" and not colon:
        return StarterBenchmark()
    if kind == "harbor" and rest.strip():
        return HarborBenchmark(base / Path(rest.strip()).expanduser())
    if kind == "terminal-bench" and rest.strip():
        return TerminalBenchmark(base / Path(rest.strip()).expanduser())
    if kind == "spreadsheetbench" and rest.strip():
        return SpreadsheetBenchmark(base / Path(rest.strip()).expanduser())
    if kind == "spreadsheetbench-soft" and rest.strip():
        return SpreadsheetBenchmark(base / Path(rest.strip()).expanduser(), "soft")
    raise ConfigError(f"benchmark.source: '{source}' is not a benchmark; write {' or '.join(KINDS.values())}")
