"""A workspace with a finished run, check and study: it is made once, and every test has a copy of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.support import SMALL, Said, configure, process


@pytest.fixture(scope="session")
def works(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Which sandboxes work on this machine."""
    findings = process("doctor", "-C", tmp_path_factory.mktemp("doctor"), "--json").json()
    return {finding["what"]: finding["level"] == "ok" for finding in findings}


@pytest.fixture(scope="session")
def bubblewrap(works: dict[str, bool]) -> None:
    if not works["bubblewrap"]:
        pytest.skip("bubblewrap does not work on this machine")


@pytest.fixture(scope="session")
def docker(works: dict[str, bool]) -> None:
    if not works["docker"]:
        pytest.skip("no Docker Engine answers")


@pytest.fixture(scope="session")
def fresh_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that `workspace` copies. No test asks for this one."""
    root = tmp_path_factory.mktemp("fresh") / "work"
    assert process("init", root).code == 0
    configure(root, *SMALL)
    return root


@pytest.fixture
def workspace(fresh_once: Path, tmp_path: Path) -> Path:
    """A fresh one, with small settings."""
    root = tmp_path / "work"
    shutil.copytree(fresh_once, root, symlinks=True)
    return root


@pytest.fixture(scope="session")
def used_once(
    bubblewrap: None, fresh_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Said]]:
    """The workspace that `used` copies. No test asks for this one: what a test added to it, the next would find."""
    root = tmp_path_factory.mktemp("used") / "work"
    shutil.copytree(fresh_once, root, symlinks=True)
    said = {
        "run": process("run", "-C", root),
        "check": process("benchmarks", "check", "-C", root, "--set", "benchmark.limit=2", "--json"),
        "optimize": process("optimize", "-C", root),
    }
    return root, said


@pytest.fixture
def used(used_once: tuple[Path, dict[str, Said]], tmp_path: Path) -> tuple[Path, dict[str, Said]]:
    """A workspace after `run`, `benchmarks check` and `optimize`, and what each of them said."""
    made, said = used_once
    root = tmp_path / "used"
    shutil.copytree(made, root, symlinks=True)
    return root, said
