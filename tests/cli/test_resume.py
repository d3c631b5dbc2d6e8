"""`lorimer resume` keeps what a study began with, says what it changes, and refuses the rest in one line."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from lorimer.commands import running
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.settings import MAY_CHANGE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, configure, process, refused, typed
from tests.traces.test_migrations import older


@pytest.fixture
def root(used: tuple[Path, dict[str, Said]]) -> Path:
    """A workspace whose study is finished, so that going on with it costs nothing."""
    return used[0]


def sql(root: Path, statements: Sequence[str]) -> None:
    with closing(sqlite3.connect(root / STORE)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def made_by_an_older_lorimer(root: Path) -> None:
    """Put a store of schema 0001 in the store's place: study-1 as that lorimer would have it after its first trial."""
    path = root / STORE
    newer = path.rename(path.with_name("newer.db"))
    tables = {"study": "id = 'study-1'", "task": "study = 'study-1'", "harness": "true", "trial": "study = 'study-1'"}
    with older(path, "0001") as connection:
        connection.execute(text("ATTACH :path AS newer"), {"path": str(newer)})
        for table, wanted in tables.items():
            columns, kept = (
                {row.name for row in connection.execute(text(f"PRAGMA {schema}.table_info({table})"))}
                for schema in ("main", "newer")
            )
            names = ", ".join(f'"{name}"' for name in sorted(columns & kept))
            most = "LIMIT 1" if table == "trial" else ""
            chosen = f"SELECT {names} FROM newer.{table} WHERE {wanted} {most}"
            connection.execute(text(f"INSERT INTO {table} ({names}) {chosen}"))
        auto = "UPDATE study SET state = 'paused', config = json_set(config, '$.sandbox.provider', 'auto')"
        connection.execute(text(auto))


def test_each_change_is_said_stored_and_chained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(StoreReader(root / STORE).chain())
    configure(root, "budget.hours=2", "sandbox.concurrency=2")
    said = typed(capsys, "resume", "study-1", "-C", root, "--set", "budget.usd=40")
    assert said.code == 0
    assert said.out.splitlines()[:3] == [
        "budget.hours changed from unset to 2.0",
        "budget.usd changed from unset to 40.0",
        "sandbox.concurrency changed from 4 to 2",
    ]
    reader = StoreReader(root / STORE)
    stored = reader.study("study-1").config
    assert (stored["budget"]["hours"], stored["budget"]["usd"], stored["sandbox"]["concurrency"]) == (2.0, 40.0, 2)
    assert [row.kind for row in reader.chain()[before:]] == ["settings"]
    assert typed(capsys, "verify", "-C", root).code == 0

    said = typed(capsys, "resume", "study-1", "-C", root)
    assert "  setting     budget.hours changed from unset to 2.0\n" in said.out
    assert not any(line.startswith(("budget.", "sandbox.")) for line in said.out.splitlines())
    assert StoreReader(root / STORE).study("study-1").config == stored
    said = typed(capsys, "resume", "study-1", "-C", root, "--json", "--set", "budget.usd=50")
    assert {"event": "SettingChanged", "key": "budget.usd", "before": 40.0, "after": 50.0} in said.lines()


def test_a_workspace_without_a_study_says_what_starts_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "resume", "-C", workspace)
    assert said == f"lorimer: {workspace}: there is no study to resume; `lorimer optimize -C {workspace}` starts one"


def test_what_a_study_keeps_is_refused_by_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = StoreReader(root / STORE).study("study-1")
    end = f"; or start a new study with `lorimer optimize -C {root}`"
    said = refused(
        capsys, 2, "resume", "study-1", "-C", root, "--set", "models.task=simulated/other", "--set", "gate.alpha=.49"
    )
    assert said == (
        "lorimer: study study-1 keeps what it began with: gate.alpha is 0.1, and --set asks for 0.49 (leave that out); "
        f'models.task is "simulated/apprentice", and --set asks for "simulated/other" (leave that out){end}'
    )
    configure(root, "gate.alpha=0.3")
    said = refused(capsys, 2, "resume", "study-1", "-C", root)
    assert said == (
        "lorimer: study study-1 keeps what it began with: gate.alpha is 0.1, and lorimer.toml now says 0.3 "
        f"(put 0.1 back there){end}"
    )
    said = refused(capsys, 2, "resume", "run-1", "-C", root)
    assert said.endswith(f"; or start a new study with `lorimer run -C {root}`")
    assert StoreReader(root / STORE).study("study-1") == before
    configure(root, "gate.alpha=0.1")
    assert typed(capsys, "resume", "study-1", "-C", root).code == 0


def test_a_study_goes_on_in_the_sandbox_that_it_began_in(root: Path) -> None:
    stored = StoreReader(root / STORE).study("study-1").config
    assert stored["sandbox"]["provider"] == "bubblewrap"
    sql(root, ["UPDATE study SET config = json_set(config, '$.sandbox.provider', 'docker')"])
    configure(root, "sandbox.provider=auto")
    said = process("resume", "run-1", "-C", root, environment={"DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert said.code == 3
    assert said.err.startswith("lorimer: study run-1 began on docker and goes on there alone: ")
    assert said.err.endswith("; start the Docker Engine, or start a new study\n")
    assert said.err.count("\n") == 1


def test_a_study_goes_on_with_the_jails_that_it_began_with(root: Path) -> None:
    stored = StoreReader(root / STORE).study("study-1").config
    assert stored["jail"]["provider"] == "bubblewrap"
    sql(root, ["UPDATE study SET config = json_set(config, '$.jail.provider', 'docker')"])
    said = process("resume", "run-1", "-C", root, environment={"DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert said.code == 3
    assert said.err.startswith("lorimer: study run-1 began with its jails on docker and goes on there alone: ")
    assert said.err.endswith("; start the Docker Engine, or start a new study\n")
    assert said.err.count("\n") == 1


def test_a_store_of_an_older_lorimer_is_upgraded_by_the_resume_that_its_message_names(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_by_an_older_lorimer(root)
    configure(root, "budget.candidates=7", "gate.alpha=0.3")
    said = refused(capsys, 2, "status", "-C", root)
    assert "was written by an older lorimer (schema 0001, this one reads " in said
    assert f"); `lorimer resume -C {root}` or `lorimer run -C {root}` upgrades it" in said
    # One trial is all that this budget allows, so going on ends at once.
    done = typed(capsys, "resume", "-C", root, "--set", "budget.trials=1")
    assert done.code == 0, done
    assert done.out.splitlines()[:3] == [
        "lorimer.toml has budget.candidates = 7; study study-1 keeps 1; --set budget.candidates=7 changes it",
        "lorimer.toml has gate.alpha = 0.3; study study-1 keeps 0.1",
        "budget.trials changed from unset to 1",
    ]
    assert typed(capsys, "status", "-C", root).code == 0
    assert typed(capsys, "verify", "-C", root).code == 0
    stored = StoreReader(root / STORE).study("study-1")
    assert (stored.config["sandbox"]["provider"], stored.config["budget"]["candidates"]) == ("bubblewrap", 1)
    # From here on it is known what the file said.
    assert "lorimer.toml has" not in typed(capsys, "resume", "-C", root).out
    configure(root, "budget.candidates=1")
    assert "budget.candidates changed from" not in typed(capsys, "resume", "-C", root).out


def test_whoever_begins_or_goes_on_beside_another_study_is_told_of_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = f"{socket.gethostname()}:{os.getpid()}:0"
    told = "warning: another study is at work in this workspace: "
    sql(root, [f"UPDATE study SET holder = '{holder}', held_since = '2026-01-01T08:00:00+00:00' WHERE id = 'study-1'"])
    began = typed(capsys, "optimize", "-C", root, "--set", "budget.trials=1")
    assert began.code == 0, began
    assert f"{told}study-1 by process {os.getpid()} on this machine" in began.out
    assert "here lorimer/study-2\n" in began.out
    assert told in typed(capsys, "resume", "study-2", "-C", root).out
    sql(root, ["UPDATE study SET holder = '' WHERE id = 'study-1'"])
    assert told not in typed(capsys, "resume", "study-2", "-C", root).out


def test_help_names_all_that_a_resume_may_change() -> None:
    said = running.resume.__doc__ or ""
    named = ["[" + path[0] + "]" if len(path) == 1 else ".".join(path) for path in MAY_CHANGE]
    assert [each for each in named if each not in said] == []
