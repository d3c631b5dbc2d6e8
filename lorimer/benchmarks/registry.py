"""Finds the adapter that a `[benchmark] source` of lorimer.toml names.

A format is imported where it is named, so that a command which looks at tasks waits for theirs alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lorimer.benchmarks.base import Benchmark
from lorimer.config.settings import BenchmarkSettings
from lorimer.errors import ConfigError

KINDS = {
    "starter": "starter",
    "harbor": "harbor:DIR",
    "terminal-bench": "terminal-bench:DIR",
    "spreadsheetbench": "spreadsheetbench:NAME_OR_DIR",
    "spreadsheetbench-soft": "spreadsheetbench-soft:NAME_OR_DIR",
    "hf": "hf:NAME_OR_DIR",
}
"""Kinds of benchmark, and how each is written."""


def located(source: str, here: Path, root: Path) -> str:
    """`source` as the lorimer.toml in `root` says it, where a user in `here` has typed it: a DIR then stands for the same folder.

    One in `root` is written relative to it, so that a workspace can be moved with its tasks; any other from the root of the
    file system on. What names a set on the hub stays as it is. Raises ConfigError for a DIR that is not there, and for what is
    no benchmark.
    """
    open_benchmark(source, here)
    kind, _, rest = source.partition(":")
    name = rest.strip()
    if kind == "starter":
        return source
    # Not resolved: a link stays one.
    path = Path(os.path.abspath(here / Path(name).expanduser()))  # noqa: PTH100
    if not path.exists():
        from lorimer.benchmarks.hf.rows import may_be_on_hub
        from lorimer.benchmarks.spreadsheet_bench.hub import hub_set

        on_hub = may_be_on_hub(name) if kind == "hf" else hub_set(kind, name, path, None) is not None
        if kind in ("harbor", "terminal-bench") or not on_hub:
            hub = "" if kind in ("harbor", "terminal-bench") else ", and no name of a set on the Hugging Face hub"
            raise ConfigError(f"benchmark {source}: {path}: no such {'file or ' * (kind == 'hf')}folder{hub}")
        return source
    inside = Path(os.path.abspath(here / root))  # noqa: PTH100
    return f"{kind}:{path.relative_to(inside) if path.is_relative_to(inside) else path}"


def open_benchmark(
    source: str,
    base: Path,
    settings: BenchmarkSettings | None = None,
    seed: int = 0,
    passed: Mapping[str, bool] | None = None,
) -> Benchmark:
    """The adapter for `source`, such as `starter` or `harbor:tasks`; a relative DIR starts at `base`.

    Args:
        settings: [benchmark]; its `source` is not read.
        seed: of a sample.
        passed: names of variables that verifiers may be given, and whether each has a value.

    Raises ConfigError that lists the kinds where `source` is none of them.
    """
    settings = settings or BenchmarkSettings()
    kind, colon, rest = source.partition(":")
    if kind == "starter" and not colon:
        from lorimer.benchmarks.starter import StarterBenchmark

        return StarterBenchmark()
    if kind == "harbor" and rest.strip():
        from lorimer.benchmarks.harbor.benchmark import HarborBenchmark
        from lorimer.benchmarks.harbor.variables import HostVariables

        return HarborBenchmark(base / Path(rest.strip()).expanduser(), host=HostVariables.here(passed))
    if kind == "terminal-bench" and rest.strip():
        from lorimer.benchmarks.terminal_bench import TerminalBenchmark

        return TerminalBenchmark(base / Path(rest.strip()).expanduser())
    if kind in ("spreadsheetbench", "spreadsheetbench-soft") and rest.strip():
        from lorimer.benchmarks.spreadsheet_bench.benchmark import SpreadsheetBenchmark
        from lorimer.benchmarks.spreadsheet_bench.hub import hub_set

        path = base / Path(rest.strip()).expanduser()
        on_hub = None if path.exists() else hub_set(kind, rest.strip(), path, settings.hf.revision)
        return SpreadsheetBenchmark(on_hub or path, "soft" if kind.endswith("soft") else "hard")
    if kind == "hf" and rest.strip():
        from lorimer.benchmarks.hf.benchmark import HfBenchmark

        return HfBenchmark(rest.strip(), base, settings, seed)
    raise ConfigError(f"benchmark.source: '{source}' is not a benchmark; write {' or '.join(KINDS.values())}")
