"""The rows of a made study: trials with their steps and their money, inserted many at a time."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.made_steps import Steps
from lorimer.task_agent.causes import Cause
from lorimer.traces import codec
from lorimer.traces.databases.fts5 import INDEX_AFTER
from lorimer.traces.schema import TrialState
from lorimer.traces.tables import Evaluation, Trial
from lorimer.traces.writing.writer import table_of

TRIAL_SECONDS = 40.0
USD, TOKENS_IN, TOKENS_OUT = 0.004, 1_500, 120
"""What one model call takes."""
SPEND = "id, study, role, owner, reserved_usd, reserved_tokens, settled, usd, input_tokens, output_tokens"


class Rows:
    """Writes beside the store, whose own writer takes one trial at a time."""

    def __init__(self, path: Path, steps: Steps, dice: random.Random, model: str) -> None:
        self._steps, self._dice, self._model = steps, dice, model
        self._rows = sqlite3.connect(path, isolation_level=None)
        # Nobody else writes, and a store that is lost half made is made again.
        self._rows.execute("PRAGMA synchronous=OFF")
        self.trials = 0

    def close(self) -> None:
        self._rows.execute(
            "INSERT INTO spent (study, role, usd, tokens, unknown, calls) "
            "SELECT study, role, sum(usd), sum(input_tokens + output_tokens), 0, count(*) FROM spend GROUP BY study, role"
        )
        self._rows.close()

    def head(self) -> str:
        """The chain's last hash."""
        return str(self._rows.execute("SELECT hash FROM chain ORDER BY number DESC LIMIT 1").fetchone()[0])

    def trial(
        self, of: Evaluation, task: str, repeat: int, attempt: int, reward: float | None, began: datetime
    ) -> Trial:
        """One attempt, without its steps; without a reward it errored."""
        dice, scored = self._dice, reward is not None
        suspect = reward == 1.0 and dice.random() < 0.002
        return Trial(
            id=f"{of.id}/{task}/{repeat}/{attempt}",
            planned=f"{of.id}/{task}/{repeat}",
            study=of.study,
            evaluation=of.id,
            stage=of.stage,
            harness=of.harness,
            task=task,
            repeat=repeat,
            attempt=attempt,
            model=self._model,
            sandbox="docker",
            network=False,
            started=began.isoformat(timespec="milliseconds"),
            state=(TrialState.SCORED if scored else TrialState.ERRORED).value,
            cause=(Cause.FINISHED if scored else Cause.ENGINE_FAILURE).value,
            detail="" if scored else "the engine could not start a container",
            reward=reward,
            rewards={} if reward is None else {"reward": reward},
            answer=self._steps.sentence(12),
            verifier_output=self._steps.sentence(8 if reward == 1.0 else 60),
            seconds=TRIAL_SECONDS * (0.5 + dice.random()),
            active_seconds=TRIAL_SECONDS / 2,
            flags=["suspect: replaced /usr/bin/python3"] if suspect else [],
        )

    def write(self, trials: Sequence[Trial], *, steps: bool = True) -> None:
        """Store trials in order, with `steps` if an agent made some."""
        made: list[tuple[object, ...]] = []
        spend: list[tuple[object, ...]] = []
        for trial in trials if steps else ():
            verdict = (
                f'{{"state":"{trial.state}","reward":{json.dumps(trial.reward)},"cause":"{trial.cause}","detail":""}}'
            )
            mine = list(self._steps.conversation(trial.id, trial.task, self._model, verdict))
            calls = sum(step[2] == "model_call" for step in mine)
            trial.model_calls, trial.input_tokens, trial.output_tokens = calls, TOKENS_IN * calls, TOKENS_OUT * calls
            trial.cost_usd = USD * calls
            made += mine
            spend += [self._spend(trial.study, "task", trial.id) for _ in range(calls)]
        self.trials += len(trials)
        self._insert(Trial, (self._values(trial) for trial in trials))
        self._insert_steps(made, spend)

    def proposal(self, study: str, candidate: str) -> None:
        """The session that proposed a candidate."""
        steps = list(self._steps.conversation(candidate, "this harness", self._model, '{"text":""}'))[:-1]
        self._insert_steps(steps, [self._spend(study, "meta", candidate) for step in steps if step[2] == "model_call"])

    def _spend(self, study: str, role: str, owner: str) -> tuple[object, ...]:
        return self._steps.call(), study, role, owner, 0.05, 9_000, 1, USD, TOKENS_IN, TOKENS_OUT

    def _insert_steps(self, steps: Iterable[tuple[object, ...]], spend: Iterable[tuple[object, ...]]) -> None:
        rows = self._rows
        rows.execute("BEGIN IMMEDIATE")
        newest = rows.execute("SELECT coalesce(max(id), 0) FROM step").fetchone()
        rows.executemany("INSERT OR IGNORE INTO message (sha, body) VALUES (?, ?)", self._steps.new_messages())
        rows.executemany(
            'INSERT INTO step (owner, "index", kind, at, seconds, data, found) VALUES (?, ?, ?, ?, ?, ?, ?)', steps
        )
        rows.execute(INDEX_AFTER, newest)
        rows.executemany(
            f"INSERT INTO spend ({SPEND}) VALUES ({', '.join('?' * 10)})",
            spend,
        )
        rows.execute("COMMIT")

    def _insert(self, kind: type[Trial], values: Iterable[Mapping[str, Any]]) -> None:
        names = [column.name for column in table_of(kind).columns]
        marks = ", ".join(f":{name}" for name in names)
        self._rows.execute("BEGIN IMMEDIATE")
        self._rows.executemany(f"INSERT INTO {table_of(kind).name} ({', '.join(names)}) VALUES ({marks})", values)
        self._rows.execute("COMMIT")

    def _values(self, row: Trial) -> dict[str, Any]:
        return {
            name: codec.dumps(value) if isinstance(value, dict | list) else value
            for name, value in row.model_dump().items()
        }
