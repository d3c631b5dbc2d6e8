"""The fixtures of the command's tests, which say what works here and make a small workspace, and a study to compare with."""

from __future__ import annotations

import pytest

from tests.cli.conftest import bubblewrap, docker, fresh_once, works, workspace
from tests.crash.support import Straight, run_straight

__all__ = ["bubblewrap", "docker", "fresh_once", "straight", "works", "workspace"]


@pytest.fixture(scope="session")
def straight(bubblewrap: None, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """On bubblewrap."""
    return run_straight(tmp_path_factory.mktemp("straight"))
