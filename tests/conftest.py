"""What holds for the tests of every room: none talks to a real provider, and none is changed by how the suite was started."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from lorimer.models.guard import forbid_real_requests

forbid_real_requests()
# How fast examples are made says what else this machine does, not whether the code is right.
settings.register_profile("lorimer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lorimer")
# A suite that was started in the background has SIGINT ignored, and so would every program that a test starts: Ctrl-C at a
# question would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)
_NUMBERS = itertools.count()


FIRST = "test_elsewhere.py"
"""It installs another program for half a minute; begun last, it kept one worker after all others had ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest by itself begins first."""
    items.sort(key=lambda item: item.path.name != FIRST)


def pytest_collection_finish() -> None:
    """What was imported for all tests stays: who collects garbage would walk a million objects of it each time, in 0.4 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What programs remember for their user (requests in flight by key) is kept apart from that of whoever runs the tests."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(autouse=True)
def own_state_folder(state_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own: another one may have had a server at the same address, and a clock that was no real one."""
    monkeypatch.setenv("XDG_STATE_HOME", f"{os.environ['XDG_STATE_HOME']}/{next(_NUMBERS)}")
