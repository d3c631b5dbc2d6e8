"""A study of eight candidates with a promotion, made rather than run, and the dashboard over a copy of it."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from urllib.parse import quote

import pytest
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket
from starlette.testclient import TestClient

from bench.made_store import STUDY, Size, make
from lorimer.dashboard import templating
from lorimer.dashboard.app import application
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader


@dataclass(frozen=True)
class Served:
    """A workspace with its dashboard."""

    root: Path
    client: TestClient
    reader: StoreReader

    def change(self, statement: str, *values: object) -> None:
        """Write into the store, as no reader can."""
        with closing(sqlite3.connect(self.root / STORE)) as store, store:
            store.execute(statement, values)

    def page(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = self.client.get(path)
        text: str = answer.text
        assert answer.status_code == status, text
        return text


def paths(served: Served) -> list[str]:
    """A page of every kind that tells of the study."""
    newest = served.reader.candidates(STUDY)[-1].number
    trial = served.reader.trials(STUDY, stage="full", limit=1)[0]
    pages = (
        "flips?hunks=1",
        f"beside?of={newest}&task={quote(trial.task)}",
        "candidates",
        f"c/{newest}",
        "tasks",
        f"task?task={quote(trial.task)}",
        f"trace?of={quote(trial.id, safe='')}",
        f"trials?of={quote(trial.evaluation, safe='')}",
        "seed",
        "lineage",
    )
    return ["/", f"/s/{STUDY}", *(f"/s/{STUDY}/{page}" for page in pages)]


class Compiled(BytecodeCache):
    """What templates were compiled to, for every dashboard and report of this process: each has an environment of its own."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._kept[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Iterator[None]:
    """Templates are compiled once, and not for each test: that took half of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templating, "Environment", partial(Environment, bytecode_cache=Compiled()))
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test changes this one."""
    root = tmp_path_factory.mktemp("dashboard") / "made"
    assert make(root, Size(candidates=8, tasks=12, turns=2), seed=4).promoted == 1
    return root


@pytest.fixture
def served(made: Path, tmp_path: Path) -> Iterator[Served]:
    root = tmp_path / "made"
    shutil.copytree(made, root, symlinks=True)
    reader = StoreReader(root / STORE)
    with TestClient(application(reader, root, ["testserver"])) as client:
        yield Served(root, client, reader)


@pytest.fixture
def finished(served: Served) -> Served:
    """The same after its end: nothing is sealed any more."""
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    return served


def quickly_forecast(served: Served) -> None:
    """Give the study the plain rule, which is played in a tenth of the time."""
    served.change("UPDATE study SET config = json_set(config, '$.gate.policy', 'strict') WHERE id = ?", STUDY)


@pytest.fixture
def unused_port_taken() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]
