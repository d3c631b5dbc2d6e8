"""What `traces ls` shows."""

from __future__ import annotations

from collections.abc import Sequence

from lorimer.terminal.words import calls_of, table
from lorimer.traces.tables import Trial
from lorimer.wording import dollars


def trials_text(trials: Sequence[Trial]) -> str:
    """A listing of trials, in the order given."""
    if not trials:
        return "no trials match"
    columns = ("trial", "state", "reward", "cause", "calls", "tokens", "cost", "seconds")
    rows = [
        (
            trial.id,
            trial.state,
            trial.reward,
            trial.cause,
            calls_of(trial),
            trial.tokens,
            dollars(trial.cost_usd),
            f"{trial.seconds:.1f}",
        )
        for trial in trials
    ]
    return table(columns, rows)
