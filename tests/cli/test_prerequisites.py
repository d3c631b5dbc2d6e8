"""What a benchmark asks of the machine in vain is said in one line, before anything is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import LORIMER, refused, typed

MAPPING = """
[benchmark.hf]
instruction = "{{ q }}"
answer = "{{ a }}"
network = true
"""

pytestmark = pytest.mark.bubblewrap


@pytest.mark.parametrize("command", [("run",), ("optimize",), ("benchmarks", "check")])
def test_a_benchmark_that_wants_a_network_is_refused_where_bubblewrap_serves(
    bubblewrap: None, workspace: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    rows = [json.dumps({"q": f"What is {n}?", "a": str(n)}) for n in range(5)]
    (workspace / "rows.jsonl").write_text("\n".join(rows))
    with (workspace / "lorimer.toml").open("a") as settings:
        settings.write(MAPPING)
    at = ("-C", workspace, "--set", "benchmark.source=hf:rows.jsonl", "--set", "benchmark.limit=5")
    said = refused(capsys, 3, *command, *at)
    assert said.startswith("lorimer: tasks row-")
    assert said.endswith(
        " and 2 more ask for a network, and bubblewrap has none to give; start a Docker Engine and set [sandbox] "
        'provider = "docker", or give such tasks none: [sandbox] network = "none"'
    )
    assert "there is no study here yet" in typed(capsys, "studies", "-C", workspace).out


def limited(limit: str, workspace: Path, *more: str) -> str:
    """What a run of one task says in a shell that allows so many open files."""
    shell = ("bash", "-c", f'ulimit {limit}; exec "$@"', "bash")
    command = [*shell, *LORIMER, "run", "-C", str(workspace), "--set", "benchmark.limit=1", *more]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran
    return ran.stdout + ran.stderr


def test_more_trials_run_at_once_than_a_shell_allows_open_files(bubblewrap: None, workspace: Path) -> None:
    said = limited("-Sn 64", workspace, "--repeats", "10", "--set", "sandbox.concurrency=10")
    assert "over 1 task  $" in said
    assert "errored" not in said
    assert "files open" not in said


def test_a_hard_limit_of_open_files_that_may_not_do_is_told(bubblewrap: None, workspace: Path) -> None:
    said = limited("-n 500", workspace, "--set", "sandbox.concurrency=64")
    assert (
        "warning: this process may have 500 files open, and 64 trials at once may need 1,088; allow it more (`ulimit -n`, "
        "LimitNOFILE of systemd), or set [sandbox] concurrency = 27" in said
    )
