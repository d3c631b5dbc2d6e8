"""What it costs to write trajectories and to ask for them, in each database that is named.

    python -m bench.store [URL …]                  # SQLite in a temporary folder, and each empty PostgreSQL store
    python -m bench.store --ask FOLDER [URL …]     # the store that `python -m bench.traces FOLDER` made, and copies of it

Writing: trials of 10, 100 and 1,000 model calls as harnesses make them, each call with the whole conversation before it, and an
exec after each call. The clock runs until the last verdict is on disk. Overhead is what the database has beyond the words that
came in, each message and each output counted once. The floor writes the same words as JSON lines to a file, and syncs it after
each trial.

Asking: each question five times, the least of them; the floor is the row of one trial. A copy is made where the store that a URL
names is empty, by `lorimer store copy`'s own function: minutes for 2,000,000 steps.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bench.made_steps import COMMON, Steps
from bench.made_store import STUDY, make
from lorimer.harness.api import Completion, Message, ToolCall, Usage, assistant, user
from lorimer.kinds import StepKind, TrialState
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.databases.base import Database
from lorimer.traces.databases.choice import database_at
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import ModelCallData, PlannedTrial, Stage, StepData, TrialEnd, TrialStart
from lorimer.traces.writing.copying import copy
from lorimer.traces.writing.store import Store

PER_SECOND, OVERHEAD, LINEAR = 20_000, 400.0, 2.0
"""Steps per second and bytes per step on SQLite; how many times the seconds of a short trial's step a long trial's may take."""

STEPS = 20_000
LENGTHS = (10, 100, 1_000)
"""Model calls per trial."""


@dataclass(frozen=True)
class Turn:
    """What the model says, and what its command gives."""

    said: Message
    given: Message
    command: str

    @property
    def words(self) -> int:
        """Bytes: the output is in a message and in a step, and counts once."""
        return len(self.said.text) + len(self.command) + len(self.given.text)


@dataclass(frozen=True)
class Written:
    """What some trials took."""

    steps: int
    seconds: float
    size: int
    words: int

    @property
    def overhead(self) -> float:
        """Bytes of the database per step, beyond the words."""
        return (self.size - self.words) / self.steps


def conversations(length: int) -> list[list[Turn]]:
    """Trials of so many calls, of about STEPS steps in all, in words of an uneven vocabulary."""
    dice = random.Random(length)
    words = Steps(dice, 1.0)

    def turn() -> Turn:
        command = f"python -m pytest tests/test_{dice.getrandbits(20)}.py -q"
        call = ToolCall(f"call_{dice.getrandbits(32):08x}", "shell", {"command": command})
        said = assistant(words.sentence(dice.randint(10, 40)), tool_calls=(call,))
        return Turn(said, Message("tool", words.sentence(dice.randint(20, 120)), tool_call_id=call.id), command)

    return [[turn() for _ in range(length)] for _ in range(max(1, STEPS // (2 * length)))]


async def write(store: Store, trials: list[list[Turn]]) -> None:
    """Record them all, one after the other."""
    for number, turns in enumerate(trials):
        planned = PlannedTrial(
            f"bench/{len(turns)}-{number}", "bench", "bench", Stage.BASELINE, "bench", "bench", number, 0
        )
        start = TrialStart(planned, 0, "made/model")
        store.open_trial(start)
        messages = [user("Repair the module.")]
        for turn in turns:
            call = ModelCallData(
                start.id, 0.0, 1.0, 0.0, 0, None, (), tuple(messages), {"max_tokens": 4096},
                Completion(turn.said, "tool_calls", Usage(500, 50)), 0.004, "made/model",
            )  # fmt: skip
            store.model_call(call)
            ran = {"command": turn.command, "cwd": None, "exit_code": 0, "timed_out": False, "stdout": turn.given.text}
            store.step(StepData(start.id, StepKind.EXEC, 1.0, 0.2, ran | {"stderr": ""}))
            messages += [turn.said, turn.given]
        await store.close_trial(TrialEnd(start.id, TrialState.SCORED, "finished", reward=1.0))


def written(database: Database, trials: list[list[Turn]]) -> Written:
    """What these trials take in a database."""
    with Store.open(database) as store:
        before = size_of(database)
        began = time.perf_counter()
        asyncio.run(write(store, trials))
        seconds = time.perf_counter() - began
    turns = [turn for trial in trials for turn in trial]
    return Written(2 * len(turns), seconds, size_of(database) - before, sum(turn.words for turn in turns))


def size_of(database: Database) -> int:
    """Bytes of all its tables and indexes."""
    engine = database.reading()
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            return int(pages) * int(connection.execute(text("PRAGMA page_size")).scalar_one())
    finally:
        engine.dispose()


def floor(folder: Path, trials: list[list[Turn]]) -> float:
    """Steps per second of who appends the same words to a file."""
    began = time.perf_counter()
    with Path(folder, "floor.jsonl").open("w") as out:
        for turns in trials:
            for turn in turns:
                out.write(json.dumps([turn.said.text, turn.command]) + "\n" + json.dumps(turn.given.text) + "\n")
            out.flush()
            os.fsync(out.fileno())
    return 2 * sum(map(len, trials)) / (time.perf_counter() - began)


def writing(folder: Path, urls: list[str]) -> list[str]:
    """Print what writing costs; what is over its target."""
    over: list[str] = []
    print("| database | calls per trial | steps per second | of the floor | bytes per step | of them overhead |")
    print("|---|---|---|---|---|---|")
    for url in ("", *urls):
        rates = []
        for length in LENGTHS:
            trials = conversations(length)
            database = database_at(url or folder / f"{length}.db")
            base, found = floor(folder, trials), written(database, trials)
            rates.append(found.steps / found.seconds)
            missed = rates[-1] < PER_SECOND or found.overhead > OVERHEAD or rates[0] > LINEAR * rates[-1]
            over += [f"writing {length} calls"] if missed and not url else []
            print(
                f"| {database.name if url else 'SQLite'} | {length} | {rates[-1]:,.0f} | {rates[-1] / base:.3f} "
                f"| {found.size / found.steps:.0f} | {found.overhead:.0f} |",
                flush=True,
            )
    return over


def questions(reader: StoreReader) -> Iterator[tuple[str, Callable[[], object]]]:
    """What readers ask most, by what it is called here."""
    (newest,) = reader.trials(STUDY, limit=1)
    some = [trial.evaluation for trial in reader.trials(STUDY, stage="full", limit=2_000)]
    yield "a trial", lambda: reader.trial(newest.id)
    yield "its trajectory", lambda: reader.trajectory(newest.id)
    yield "the newest 100 trials", lambda: reader.trials(STUDY)
    yield "the ids of failed trials", lambda: reader.trial_ids(STUDY, failed=True)
    yield "the trials of a full run", lambda: reader.outcomes(newest.evaluation)
    yield "the scores of some full runs", lambda: reader.scored(list(dict.fromkeys(some)))
    yield "candidates", lambda: reader.candidates(STUDY)
    yield "decisions", lambda: reader.decisions(STUDY)
    yield "what was spent", lambda: reader.spent(STUDY)
    yield "trials per task and state", lambda: reader.trial_counts(STUDY)
    yield "a rare word", lambda: reader.search("traceback", STUDY)
    yield "a common word", lambda: reader.search(COMMON, STUDY)
    yield "the chain", lambda: reader.chain(STUDY)


def asked(database: Database) -> dict[str, float]:
    """The least seconds of each question."""
    found = {}
    with StoreReader(database) as reader:
        for name, ask in questions(reader):
            took = []
            for _ in range(5):
                began = time.perf_counter()
                ask()
                took.append(time.perf_counter() - began)
            found[name] = min(took)
    return found


def asking(folder: Path, urls: list[str]) -> None:
    """Print what each question takes in the store of a folder and in its copies."""
    made = make(folder)
    source = database_at(made.root / STORE)
    print(f"{made.trials:,} trials, {made.steps:,} steps, {size_of(source) / 1e6:,.0f} MB")
    columns = {"SQLite": asked(source)}
    for url in urls:
        database = database_at(url)
        with Store.open(database):
            empty = not StoreReader(database).studies()
        if empty:
            began = time.perf_counter()
            copied = copy(source, database)
            print(f"copied {copied.rows:,} rows to {database.name} in {time.perf_counter() - began:.0f} s")
        columns[f"{database.name}, {size_of(database) / 1e6:,.0f} MB"] = asked(database)
    print(f"| ms (of a trial's row) | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in next(iter(columns.values())):
        cells = (f"{1e3 * took[name]:.1f} ({took[name] / took['a trial']:.0f})" for took in columns.values())
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--ask"] and len(arguments) > 1:
        asking(Path(arguments[1]).absolute(), arguments[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        over = writing(Path(folder), arguments)
    raise SystemExit(f"over its target: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
