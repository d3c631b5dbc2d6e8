"""Questions to the store that look at many trials: columns and totals of them, never whole rows.

A trial's row holds its answer, its verifier's output and its rewards: a kilobyte or more, and a long study has 100,000 of them.
What is asked of all of them is answered from indices that hold the columns which are asked for, and on the database's own
connection, all rows at once (`traces.databases.base.Plain`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lorimer.kinds import REFUSED, Refused
from lorimer.traces import codec
from lorimer.traces.caching import NONE_BROKEN, CacheBreaks
from lorimer.traces.databases.base import Plain
from lorimer.traces.effects import Effect
from lorimer.traces.lines import LinesRan
from lorimer.traces.schema import Conditions, Saved, Share, TrialEnd, TrialState, Used

_OF_THESE = "evaluation IN (SELECT value FROM json_each(?))"


class Tried(NamedTuple):
    """One attempt at a planned trial, as far as a score needs it."""

    evaluation: str
    task: str
    repeat: int
    number: int
    """The number of the attempt."""
    state: str
    cause: str
    reward: float | None


def scored(connection: Plain, evaluations: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Evaluation, task, repeat and reward of each scored trial of these evaluations, in that order; of one that was tried anew
    the last reward is the one that counts (`task_agent.outcome`).
    """
    return connection.execute(
        f"SELECT evaluation, task, repeat, reward FROM trial WHERE {_OF_THESE} AND state = 'scored' "  # noqa: S608
        "ORDER BY evaluation, task, repeat, attempt",
        [codec.dumps(list(evaluations))],
    ).fetchall()


class Attempt(NamedTuple):
    """A trial as far as a list of many needs it."""

    id: str
    task: str
    repeat: int
    number: int
    """The number of the attempt."""
    state: str
    reward: float | None


def attempts(connection: Plain, evaluation: str) -> list[Attempt]:
    """Every trial of an evaluation, by task, repeat and attempt, from an index that holds all of these columns."""
    found = connection.execute(
        "SELECT id, task, repeat, attempt, state, reward FROM trial WHERE evaluation = ? ORDER BY task, repeat, attempt",
        [evaluation],
    )
    return [Attempt(*row) for row in found.fetchall()]


def trials_of_task(connection: Plain, study: str, task: str) -> int:
    """The number of a task's trials, which is asked of each evaluation: no index begins with a study and a task."""
    found = connection.execute(
        "SELECT count(*) FROM trial WHERE evaluation IN (SELECT id FROM evaluation WHERE study = ?) AND task = ?",
        [study, task],
    )
    return int(found.fetchone()[0])


class ScoredTrial(NamedTuple):
    """A scored trial with what its model calls took."""

    evaluation: str
    task: str
    repeat: int
    reward: float
    tokens: int
    """Input plus output."""
    calls: int
    refused: int
    """Those of the calls that the provider refused."""


def scored_trials(connection: Plain, evaluations: Sequence[str]) -> list[ScoredTrial]:
    """The scored trials of these evaluations by evaluation, task, repeat and attempt, as `scored` gives them."""
    found = connection.execute(
        "SELECT evaluation, task, repeat, reward, input_tokens + output_tokens, model_calls, refused_calls FROM trial "  # noqa: S608
        f"WHERE {_OF_THESE} AND state = 'scored' ORDER BY evaluation, task, repeat, attempt",
        [codec.dumps(list(evaluations))],
    )
    return [ScoredTrial(*row) for row in found]


class TrialLines(NamedTuple):
    """A scored trial with which lines of its harness ran."""

    evaluation: str
    task: str
    repeat: int
    ran: LinesRan | None
    """`None` where nothing was told."""
    tokens: int
    """Input plus output, of all its calls."""


def lines_ran(connection: Plain, evaluations: Sequence[str]) -> list[TrialLines]:
    """The scored trials of these evaluations with which lines of their harness ran, in the order of `scored_trials`."""
    found = connection.execute(
        "SELECT evaluation, task, repeat, lines.ran, whole, input_tokens + output_tokens FROM trial "  # noqa: S608
        f"LEFT JOIN lines ON lines.trial = trial.id WHERE {_OF_THESE} AND state = 'scored' "
        "ORDER BY evaluation, task, repeat, attempt",
        [codec.dumps(list(evaluations))],
    )
    return [
        TrialLines(evaluation, task, repeat, None if ran is None else LinesRan.of(ran, bool(whole)), tokens)
        for evaluation, task, repeat, ran, whole, tokens in found
    ]


def unscored(connection: Plain, evaluations: Sequence[str]) -> list[Tried]:
    """Every attempt of these evaluations that has ended without a reward, by evaluation, task, repeat and attempt."""
    found = connection.execute(
        f"SELECT evaluation, task, repeat, attempt, state, cause, reward FROM trial WHERE {_OF_THESE} "  # noqa: S608
        "AND state NOT IN ('scored', 'running') ORDER BY evaluation, task, repeat, attempt",
        [codec.dumps(list(evaluations))],
    )
    return [Tried(*row) for row in found.fetchall()]


class TrialCost(NamedTuple):
    """How an attempt ended, and what it took."""

    evaluation: str
    task: str
    repeat: int
    state: str
    cause: str
    tokens: int
    """Input plus output, of all its calls."""
    usd: float | None
    """`None` where a price is unknown."""
    seconds: float


def trial_costs(connection: Plain, evaluations: Sequence[str]) -> list[TrialCost]:
    """Every attempt of these evaluations that has ended, by evaluation, task, repeat and attempt."""
    found = connection.execute(
        "SELECT evaluation, task, repeat, state, cause, input_tokens + output_tokens, cost_usd, seconds FROM trial "  # noqa: S608
        f"WHERE {_OF_THESE} AND state <> 'running' ORDER BY evaluation, task, repeat, attempt",
        [codec.dumps(list(evaluations))],
    )
    return [TrialCost(*row) for row in found.fetchall()]


def trials_of_harness(connection: Plain, study: str, sha: str) -> list[Attempt]:
    """The scored trials of a study's evaluations of this harness, from the index that `attempts` takes, in no order."""
    found = connection.execute(
        "SELECT id, task, repeat, attempt, state, reward FROM trial WHERE state = 'scored' AND evaluation IN "
        "(SELECT id FROM evaluation WHERE study = ? AND harness = ?)",
        [study, sha],
    )
    return [Attempt(*row) for row in found.fetchall()]


def ends(connection: Plain, evaluation: str) -> list[tuple[str, TrialEnd]]:
    """How every attempt of an evaluation that has ended did end, with the planned trial's id, attempts in order.

    Without what the agent and the verifier said.
    """
    found = connection.execute(
        "SELECT planned, id, state, cause, detail, reward, seconds, "
        "model_calls, input_tokens, output_tokens, cached_tokens, cost_usd, refused_calls FROM trial "
        "WHERE evaluation = ? AND state <> 'running' ORDER BY planned, attempt",
        [evaluation],
    )
    return [
        (planned, TrialEnd(name, TrialState(state), cause, detail, reward, used=Used(*used), seconds=seconds))
        for planned, name, state, cause, detail, reward, seconds, *used in found.fetchall()
    ]


def saved(connection: Plain, study: str) -> Saved:
    """What records answered in a study's trials; an index holds those alone.

    SQLite would rather take the index that begins with study and state, and read every scored trial: `coalesce` hides the state
    from it.
    """
    trials, *sums = connection.execute(
        "SELECT count(*), sum(saved_calls), sum(saved_tokens), sum(saved_usd), "
        "sum(CASE WHEN saved_usd IS NULL THEN saved_calls ELSE 0 END), sum(saved_seconds) FROM trial "
        "WHERE study = ? AND recorded_trial <> '' AND ran_whole = '' AND coalesce(state, '') = 'scored'",
        [study],
    ).fetchone()
    calls, tokens, usd, unknown, seconds = sums
    return Saved(trials, calls or 0, tokens or 0, usd or 0.0, unknown or 0, seconds or 0.0)


def cache_breaks(connection: Plain, study: str) -> CacheBreaks:
    """The calls of a study's trials that lost what the provider's cache may have held."""
    trials, *sums = connection.execute(
        "SELECT count(*), sum(calls), sum(changed), sum(lost_tokens) FROM cache_break WHERE study = ?", [study]
    ).fetchone()
    if not trials:
        return NONE_BROKEN
    calls, changed, lost = map(int, sums)
    named = connection.execute(
        "SELECT trial, step, why FROM cache_break WHERE study = ? AND stage <> 'holdout' "
        "ORDER BY lost_tokens DESC, trial LIMIT 1",
        [study],
    ).fetchone()
    return CacheBreaks(calls, changed, lost, trials, *(named or ()))


def took(connection: Plain, evaluations: Sequence[str]) -> dict[str, Share]:
    """What every attempt of these evaluations was paid for, so without what records spared; the calls of one whose cost is
    unknown count as of unknown cost."""
    found = connection.execute(
        "SELECT evaluation, coalesce(sum(cost_usd - saved_usd), 0.0), sum(input_tokens + output_tokens - saved_tokens), "  # noqa: S608
        "sum(CASE WHEN cost_usd - saved_usd IS NULL THEN model_calls - saved_calls ELSE 0 END), "
        "sum(model_calls - saved_calls) FROM trial "
        f"WHERE {_OF_THESE} AND state <> 'running' GROUP BY evaluation",
        [codec.dumps(list(evaluations))],
    )
    return {evaluation: Share(usd, tokens, unknown, calls) for evaluation, usd, tokens, unknown, calls in found}


def refused(connection: Plain, evaluations: Sequence[str]) -> dict[str, Refused]:
    """How many calls of their scored trials were refused, for each of these evaluations in which any was."""
    found = connection.execute(
        "SELECT evaluation, sum(refused_calls), sum(model_calls) FROM trial AS own "  # noqa: S608
        f"WHERE {_OF_THESE} AND state = 'scored' "
        # A trial for nothing that was tried anew counts no more (`outcome`).
        "AND NOT (refused_calls > 0 AND refused_calls = model_calls AND EXISTS (SELECT 1 FROM trial AS later "
        "WHERE later.planned = own.planned AND later.attempt > own.attempt)) "
        "GROUP BY evaluation HAVING sum(refused_calls) > 0",
        [codec.dumps(list(evaluations))],
    )
    return {evaluation: Refused(*counts) for evaluation, *counts in found}


class Ran(NamedTuple):
    """Scored trials of one task that ran under the same conditions."""

    task: str
    trials: int
    under: Conditions


def conditions(connection: Plain, evaluations: Sequence[str]) -> dict[str, list[Ran]]:
    """What the scored trials of each of these evaluations ran under, as far as it was kept."""
    under = _conditions(connection)
    counted = connection.execute(
        f"SELECT evaluation, condition, count(*) FROM trial WHERE {_OF_THESE} AND state = 'scored' "  # noqa: S608
        "AND condition IS NOT NULL GROUP BY evaluation, condition",
        [codec.dumps(list(evaluations))],
    )
    found: dict[str, list[Ran]] = {}
    for evaluation, number, trials in counted:
        task, ran = under[number]
        found.setdefault(evaluation, []).append(Ran(task, trials, ran))
    return found


def study_conditions(connection: Plain, study: str) -> list[Ran]:
    """What all scored trials of a study's evaluations ran under, as far as it was kept."""
    under = _conditions(connection)
    counted = connection.execute(
        "SELECT condition, count(*) FROM trial WHERE evaluation IN (SELECT id FROM evaluation WHERE study = ?) "
        "AND state = 'scored' AND condition IS NOT NULL GROUP BY condition",
        [study],
    )
    return [Ran(under[number][0], trials, under[number][1]) for number, trials in counted]


def _conditions(connection: Plain) -> dict[int, tuple[str, Conditions]]:
    return {
        number: (task, Conditions(concurrency, tuple(json.loads(images)), tuple(json.loads(answered))))
        for number, task, concurrency, images, answered in connection.execute(
            "SELECT id, task, concurrency, images, answered FROM condition"
        )
    }


def conditions_differ(connection: Plain) -> bool:
    """Whether any two trials can have run under different conditions, without a look at the trials."""
    (differ,) = connection.execute(
        "SELECT (SELECT count(DISTINCT concurrency) > 1 OR count(DISTINCT answered) > 1 FROM condition) "
        "OR EXISTS (SELECT 1 FROM condition GROUP BY task HAVING count(DISTINCT images) > 1)"
    ).fetchone()
    return bool(differ)


def refusal(connection: Plain, evaluations: Sequence[str]) -> tuple[str, str] | None:
    """A scored trial of these evaluations of which a call was refused, by its id, and what the provider said to the first one."""
    found = connection.execute(
        f"SELECT id FROM trial WHERE {_OF_THESE} AND state = 'scored' AND refused_calls > 0 "  # noqa: S608
        "ORDER BY evaluation, refused_calls DESC, task, repeat, attempt LIMIT 1",
        [codec.dumps(list(evaluations))],
    ).fetchone()
    if found is None:
        return None
    calls = connection.execute(
        "SELECT data FROM step WHERE owner = ? AND kind = 'model_call' ORDER BY \"index\"", [found[0]]
    )
    data = (json.loads(each) for (each,) in calls)
    return found[0], next((str(each["error"]) for each in data if each["stop_reason"] in REFUSED), "")


def effects(connection: Plain, candidates: Sequence[str]) -> dict[str, Effect]:
    """What is stored of these candidates' edits, as far as it is in today's form."""
    found = connection.execute(
        "SELECT candidate, body FROM effect WHERE candidate IN (SELECT value FROM json_each(?))",
        [codec.dumps(list(candidates))],
    )
    read = ((candidate, Effect.of_json(json.loads(body))) for candidate, body in found)
    return {candidate: effect for candidate, effect in read if effect is not None}


def evaluation_ids(connection: Plain, study: str) -> frozenset[str]:
    """The evaluations that a study has planned."""
    return frozenset(name for (name,) in connection.execute("SELECT id FROM evaluation WHERE study = ?", [study]))


def trial_seconds(connection: Plain, study: str) -> float:
    """The sum of the seconds of all trials of a study."""
    (seconds,) = connection.execute("SELECT sum(seconds) FROM trial WHERE study = ?", [study]).fetchone()
    return float(seconds or 0.0)


class TrialCounts(NamedTuple):
    """A study's scored trials of one stage."""

    stage: str
    trials: int
    networked: int
    """Those that had a network."""
    passed: int
    """Those with a reward other than 0."""


def trial_counts(connection: Plain, study: str) -> list[TrialCounts]:
    """The counts of each stage that has scored trials."""
    found = connection.execute(
        "SELECT stage, count(*), count(*) FILTER (WHERE network), count(*) FILTER (WHERE reward <> 0) FROM trial "
        "WHERE study = ? AND state = 'scored' GROUP BY stage",
        [study],
    )
    return [TrialCounts(*row) for row in found]


def flagged(found: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, list[str]]]:
    """Id, stage and flags of each scored trial of a study that has flags (`Database.flagged`)."""
    return [(name, stage, json.loads(flags)) for name, stage, flags in found]
