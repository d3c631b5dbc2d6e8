"""Whoever changes what was decided, by whatever door, is found out by `lorimer verify`."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Suite
from lorimer.benchmarks.registry import open_benchmark
from lorimer.config.settings import Config, parse
from lorimer.errors import UserError
from lorimer.meta_agent.reports.audit import Verification, text, verify
from lorimer.meta_agent.study.campaign import same_tasks
from lorimer.meta_agent.workspace.parts import create
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.session import Session
from lorimer.meta_agent.workspace.suite import read_suite
from lorimer.sandbox.fake import FakeProvider
from lorimer.traces import chain
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from tests.cli.support import typed
from tests.meta_agent.test_loop import SEED, Bench, config, make_bench, run, script

OTHER = SEED + "# not what was promoted\n"
TASK_TOML = 'version = "1.0"\n[agent]\ntimeout_sec = 10.0\n[verifier]\ntimeout_sec = 10.0\n[environment]\n'


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose study promoted a candidate."""
    bench = make_bench(tmp_path_factory.mktemp("verify") / "work")
    asyncio.run(run(bench, script("BAD", "GOOD"), config(budget={"candidates": 2})))
    return bench.root


@pytest.fixture
def bench(finished: Path, tmp_path: Path) -> Bench:
    shutil.copytree(finished, tmp_path / "work")
    return Bench(tmp_path / "work")


def looked_at(bench: Bench) -> dict[str, tuple[str, ...]]:
    """Problems by check. The dice have no benchmark on disk, so that check is left out."""
    found = verify(bench.root, bench.reader())
    assert found.head == bench.reader().chain()[-1].hash
    return {check.what: check.problems for check in found.checks if check.what != "benchmark"}


def sql(bench: Bench, *statements: str, guarded: bool = False) -> None:
    """Change the store as somebody with the file and time would: without the triggers."""
    with closing(sqlite3.connect(bench.root / "traces.db")) as connection, connection:
        if not guarded:
            for name in ("chain_no_update", "chain_no_delete", "decision_no_update", "decision_no_delete"):
                connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0


def test_a_study_left_alone_verifies(bench: Bench) -> None:
    found = looked_at(bench)
    assert set(found) == {"chain", "studies", "decisions", "trials", "promotions", "harnesses", "commits"}
    assert not any(found.values())
    rows = bench.reader().chain()
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert [row.kind for row in rows] == ["study", *["decision"] * 7, "promotion"]
    assert rows[0].previous == chain.BEGINNING
    trailers = bench.git("log", "-1", "--format=%(trailers:key=Lorimer-Chain,valueonly)").strip()
    assert trailers == rows[-2].hash


@pytest.mark.parametrize(
    ("statement", "check", "said"),
    [
        (
            "UPDATE decision SET kind = 'promote' WHERE id = 'demo/c001/spot'",
            "decisions",
            "decision demo/c001/spot: kind changed after it was made",
        ),
        ("DELETE FROM decision WHERE id = 'demo/c001/spot'", "decisions", "decision demo/c001/spot was removed"),
        (
            "INSERT INTO decision SELECT 'demo/c001/full', study, subject, 'full', purpose, met, 'promote', reason, numbers, "
            "policy, made FROM decision WHERE id = 'demo/c001/spot'",
            "decisions",
            "decision demo/c001/full is not in the chain",
        ),
        (
            "UPDATE trial SET reward = 1.0 WHERE evaluation = 'demo/c002/audit' AND reward = 0.0",
            "trials",
            "the trials of demo/c002/audit are not those that it was decided by",
        ),
        (
            "DELETE FROM trial WHERE id = (SELECT id FROM trial WHERE evaluation = 'demo/baseline/baseline' LIMIT 1)",
            "trials",
            "the trials of demo/baseline/baseline are not those that it was decided by",
        ),
        (
            "UPDATE candidate SET state = 'promoted' WHERE id = 'demo/c001'",
            "promotions",
            "demo/c001 is promoted, and no entry of the chain promoted it",
        ),
        (
            "UPDATE candidate SET state = 'rejected' WHERE id = 'demo/c002'",
            "promotions",
            "demo/c002 was promoted, and is now rejected",
        ),
        (
            "UPDATE task SET split = 'train' WHERE split = 'holdout'",
            "studies",
            "study demo: tasks changed since it began",
        ),
        (
            "UPDATE study SET config = json_set(config, '$.gate.alpha', 0.4)",
            "studies",
            "study demo: gate.alpha changed from 0.1 to 0.4, and no entry of the chain says so",
        ),
        (
            "UPDATE study SET config = json_set(config, '$.budget.candidates', 400)",
            "studies",
            "study demo: budget.candidates changed from 2 to 400, and no entry of the chain says so",
        ),
        (
            "UPDATE study SET config = json_set(config, '$.sandbox.provider', 'docker')",
            "studies",
            'study demo: sandbox.provider changed from "auto" to "docker", and no entry of the chain says so',
        ),
        (
            "UPDATE chain SET body = json_set(body, '$.row.kind', 'promote') WHERE subject = 'demo/c001/spot'",
            "chain",
            "entry 4 (decision of demo/c001/spot) was changed after it was made",
        ),
        ("DELETE FROM chain WHERE number = 3", "chain", "entry 3 is missing"),
        ("UPDATE chain SET previous = hash WHERE number = 5", "chain", "entry 5 (decision of demo/c002/spot)"),
    ],
)
def test_a_row_that_was_edited_is_found(bench: Bench, statement: str, check: str, said: str) -> None:
    sql(bench, statement)
    problems = looked_at(bench)[check]
    assert any(problem.startswith(said) for problem in problems), problems


def test_a_harness_text_that_was_edited_is_found(bench: Bench) -> None:
    sql(bench, "UPDATE harness SET text = text || '# more' WHERE sha = (SELECT seed_harness FROM study)")
    (problem,) = looked_at(bench)["harnesses"]
    assert problem.endswith("is not the one with that SHA-256")


def test_a_chain_rewritten_as_a_whole_is_betrayed_by_the_commits(bench: Bench) -> None:
    """Every hash computed anew over a friendlier story: inside the store all fits."""
    rows = bench.reader().chain()
    rows[3].body["row"]["reason"] = "all went well"
    statements = [
        "UPDATE decision SET reason = 'all went well' WHERE id = 'demo/c001/spot'",
    ]
    previous = chain.BEGINNING
    for row in rows:
        sealed = chain.seal(row.number, row.study, row.kind, row.subject, row.body, row.made, previous)
        change = "body = json_set(body, '$.row.reason', 'all went well'), " if row.number == 4 else ""
        statements.append(
            f"UPDATE chain SET {change}previous = '{previous}', hash = '{sealed}' WHERE number = {row.number}"
        )
        previous = sealed
    sql(bench, *statements)
    found = looked_at(bench)
    assert not found["chain"]
    assert not found["decisions"]
    (problem,) = found["commits"]
    assert problem.endswith("names an entry that this chain does not have: it lost its end, or was rewritten")


def amend(bench: Bench) -> None:
    (bench.root / "harness" / "agent.py").write_text(OTHER)
    bench.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-aq", "--amend", "--no-edit")


def replace(bench: Bench) -> None:
    """Git's own way to show other bytes under the old name."""
    promoted = bench.git("rev-parse", "HEAD")
    amend(bench)
    other = bench.git("rev-parse", "HEAD")
    bench.git("reset", "-q", "--hard", promoted)
    bench.git("replace", promoted, other)
    assert bench.git("show", "HEAD:harness/agent.py") == OTHER.strip()


def test_a_commit_that_was_rewritten_is_found(bench: Bench) -> None:
    amend(bench)
    (problem,) = looked_at(bench)["commits"]
    assert problem.endswith("is on no branch any more; the history was rewritten")


def test_a_commit_that_git_was_told_to_replace_is_read_as_it_is(bench: Bench) -> None:
    replace(bench)
    assert not looked_at(bench)["commits"]


def test_another_commit_in_the_promotions_place_is_found(bench: Bench) -> None:
    first = bench.git("rev-list", "--max-parents=0", "HEAD")
    rows = bench.reader().chain()
    entry = rows[-1]
    entry.body["commit"] = first
    sealed = chain.seal(entry.number, entry.study, entry.kind, entry.subject, entry.body, entry.made, rows[-2].hash)
    sql(
        bench,
        f"UPDATE candidate SET \"commit\" = '{first}' WHERE id = 'demo/c002'",
        f"UPDATE chain SET body = json_set(body, '$.commit', '{first}'), hash = '{sealed}' WHERE number = {entry.number}",
    )
    found = looked_at(bench)
    assert not found["chain"]
    assert found["commits"][0].endswith("holds another harness than the one that was promoted")


def test_a_repository_without_the_commit_is_found(bench: Bench) -> None:
    shutil.rmtree(bench.root / ".git")
    subprocess.run(["git", "init", "-q", str(bench.root)], check=True)
    (problem,) = looked_at(bench)["commits"]
    assert problem.endswith("is not in this repository, or holds no harness")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decision SET kind = 'promote'",
        "DELETE FROM decision",
        "UPDATE chain SET body = '{}'",
        "DELETE FROM chain",
    ],
)
def test_nobody_changes_the_record_by_mistake(bench: Bench, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
        sql(bench, statement, guarded=True)


def test_a_body_whose_json_is_written_otherwise_says_what_it_said(bench: Bench) -> None:
    """Stored text is hashed as it stands where it is canonical; any other is read first."""
    body = json.dumps(bench.reader().chain()[1].body, indent=1)
    sql(bench, f"UPDATE chain SET body = '{body.replace(chr(39), chr(39) * 2)}' WHERE number = 2")
    assert not any(looked_at(bench).values())


# ---- the benchmark's files ----------------------------------------------------------------------------------------------


def studied(root: Path, study: str, settings: Config, suite: Suite) -> None:
    async def make() -> None:
        with Store.open(root / STORE) as store:
            await create(store, study=study, kind="run", suite=suite, holdout=(), config=settings, harness=SEED)

    asyncio.run(make())


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A workspace with a study of two tasks on disk."""
    root = tmp_path / "work"
    for name in ("one", "two"):
        task = root / "tasks" / name
        for folder in ("tests", "solution", "environment"):
            (task / folder).mkdir(parents=True)
        (task / "task.toml").write_text(TASK_TOML)
        (task / "instruction.md").write_text(f"Do {name}.")
        (task / "environment" / "Dockerfile").write_text("FROM debian:bookworm\n")
        (task / "tests" / "test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
        (task / "solution" / "solve.sh").write_text("true\n")
    settings = parse({"benchmark": {"source": "harbor:tasks"}})
    suite = open_benchmark("harbor:tasks", root).load()
    assert len(suite.tasks) == 2

    studied(root, "s", settings, suite)
    return root


def benchmark(root: Path) -> tuple[Verification, tuple[str, ...]]:
    found = verify(root, StoreReader(root / STORE))
    (check,) = [check for check in found.checks if check.what == "benchmark"]
    return found, check.problems


def change_verifier(root: Path) -> None:
    (root / "tasks" / "two" / "tests" / "test.sh").write_text("echo 0 > /logs/verifier/reward.txt\n")


def remove_task(root: Path) -> None:
    shutil.rmtree(root / "tasks" / "two")


def remove_all(root: Path) -> None:
    shutil.rmtree(root / "tasks")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_verifier, "task two: its files (instruction, environment, verifier, solution or settings) changed"),
        (remove_task, "task two is gone, or cannot be read any more"),
        (remove_all, "it cannot be read: "),
    ],
)
def test_a_benchmark_that_changed_is_found(measured: Path, change: Callable[[Path], None], said: str) -> None:
    assert benchmark(measured)[0].ok
    change(measured)
    found, problems = benchmark(measured)
    assert not found.ok
    assert len(problems) == 1
    assert problems[0].startswith(said)


def unread_task(root: Path) -> None:
    (root / "tasks" / "two" / "instruction.md").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_verifier, "task two has changed since study s began; restore it, or start a new study"),
        (remove_task, "task two is gone since study s began; restore it, or start a new study"),
        (
            unread_task,
            "task two cannot be read any more (instruction.md: is missing) since study s began; restore it, or start a new study",
        ),
    ],
)
def test_what_became_of_a_task_is_said_before_its_study_goes_on(
    measured: Path, change: Callable[[Path], None], said: str
) -> None:
    with Store.open(measured / STORE) as store, StoreReader(measured / STORE) as reader:
        session = Session(
            measured, parse(reader.study("s").config), store, reader, FakeProvider(), lambda seconds, why: None
        )
        assert [task.id for task in same_tasks(session, "s")] == ["one", "two"]
        change(measured)
        with pytest.raises(UserError) as caught:
            same_tasks(session, "s")
    assert str(caught.value) == said


def test_a_set_too_large_to_be_read_whole_is_looked_at_by_the_tasks_of_its_studies(tmp_path: Path) -> None:
    rows = [json.dumps({"id": f"t{number}", "q": f"{number}?", "a": "x"}) + "\n" for number in range(10_001)]
    (tmp_path / "set.jsonl").write_text("".join(rows))
    mapping = {"id": "id", "instruction": "q", "answer": "a"}
    settings = parse({"benchmark": {"source": "hf:set.jsonl", "limit": 3, "hf": mapping}})
    suite = read_suite(tmp_path, settings)
    studied(tmp_path, "first", settings, suite)
    assert benchmark(tmp_path)[0].ok
    gone = next(place for place, row in enumerate(rows) if suite.tasks[0].id in row)
    (tmp_path / "set.jsonl").write_text("".join(rows[:gone] + rows[gone + 1 :]))
    assert benchmark(tmp_path)[1] == (f"task {suite.tasks[0].id} is gone, or cannot be read any more",)


def test_studies_that_read_rewards_otherwise_are_each_looked_at_with_their_own_scale(measured: Path) -> None:
    settings = parse({"benchmark": {"source": "harbor:tasks"}, "verifier": {"scale": "unbounded"}})
    studied(measured, "scaled", settings, read_suite(measured, settings))
    assert verify(measured, StoreReader(measured / STORE)).ok


def test_the_command_says_it_in_lines_or_json(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "verify", "-C", measured)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == "ok       chain       1 entries, unbroken"
    assert said.out.splitlines()[-1] == f"the chain ends with {StoreReader(measured / STORE).chain()[-1].hash}"
    change_verifier(measured)
    said = typed(capsys, "verify", "-C", measured, "--study", "s", "--json")
    assert said.code == 1
    assert not said.json()["ok"]
    assert any("task two" in problem for check in said.json()["checks"] for problem in check["problems"])
    assert "CHANGED  benchmark" in text(verify(measured, StoreReader(measured / STORE)))
