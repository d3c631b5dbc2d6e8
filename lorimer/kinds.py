"""Names that the rooms, the settings and the command line share. The standard library alone: `lorimer --help` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

PolicyName = Literal["pooled", "paired", "eprocess", "strict"]
"""The gate's rules, one function each in `meta_agent.gate.policies`."""

CostUnit = Literal["auto", "usd", "tokens", "seconds"]
"""What the gate's bound on cost counts; `auto` is dollars where every price is known, else tokens."""

PhaseName = Literal["capability", "prompt"]
"""Phases of a search, each of which asks for kinds of edits (`meta_agent.proposer.asked`)."""

StrategyName = Literal["champion", "second-best", "earlier-champion", "seed"]
"""Which harness the edits of a search are made of (`meta_agent.study.strategies`)."""

PruneName = Literal["when stalled", "never"]
"""When a search takes out what the champion may not need (`meta_agent.study.pruning`)."""

PRUNING = "pruning"
"""The origin of a candidate in which lorimer took something out of the champion; `meta` is the meta-agent, `human` a person."""

MADE_BY: Mapping[str, str] = {"human": "by hand", PRUNING: "pruned by lorimer"}
"""Who made a candidate's edit, in words, by its origin; nothing is said of the meta-agent, which makes most."""

SandboxName = Literal["auto", "docker", "bubblewrap"]
"""What runs the sandboxes, or the jails; `auto` takes Docker for sandboxes if an engine answers, else bubblewrap."""

JAIL_IMAGE = "python:3.12-slim"
"""What Docker's jails run in, where no other image is asked for."""

SeedName = Literal["react", "blocks", "oneshot", "plain"]
"""The harnesses that a workspace can begin with, one file each in `harness.seeds`."""

SearchOrder = Literal["best", "newest", "steps"]
"""How a search orders what it found: by rank, by when it was stored, or by trajectory and step."""

TrialOrder = Literal["newest", "cost", "tokens", "seconds"]
"""How a listing of trials is ordered; all but `newest` put the largest first."""


REFUSED = frozenset({"rejected", "context_overflow", "refusal"})
"""Stop reasons of a model call that the provider refused, so that no model worked on it: malformed or not supported there, too
long, or content that it does not take."""


@dataclass(frozen=True)
class Refused:
    """How many of the model calls behind a score the provider refused. It is true where there are any."""

    refused: int = 0
    calls: int = 0
    """All of them."""

    def __bool__(self) -> bool:
        return self.refused > 0

    def __str__(self) -> str:
        """`refused: 3 of 120 calls, 2.5%`."""
        share = self.refused / self.calls if self.calls else 0.0
        return f"refused: {self.refused:,} of {self.calls:,} calls, {share:.1%}"

    def __add__(self, more: Refused) -> Refused:
        return Refused(self.refused + more.refused, self.calls + more.calls)


NONE_REFUSED = Refused()


SOLVED = 1.0 - 1e-9
"""A reward of at least this is the full one: rewards are floats, and a mean of ones may be a hair under one."""


class Stage(StrEnum):
    """Why trials ran."""

    BASELINE = "baseline"
    SPOT = "spot"
    FULL = "full"
    HOLDOUT = "holdout"
    AUDIT = "audit"
    CANARY = "canary"
    """Tasks that nobody can solve; never counted in a score."""
    REVIEW = "review"
    """No trials: a person's answer to a promotion."""


class Purpose(StrEnum):
    """Which of a harness's trials of one stage an evaluation holds, and a decision is about."""

    FIRST = "first"
    """The harness's own trials of the stage."""
    REFRESHED = "refreshed"
    """A champion's trials, run anew because they had aged when a candidate was to be compared with them."""
    ADDED = "added"
    """One more trial of every task for a champion, before it met a candidate."""
    BESIDE = "beside"
    """A champion's trials side by side with a candidate's."""
    FINAL = "final"
    """A champion's trials at the end of a study, which decided nothing by then: its score is theirs."""
    AGE = "age"
    """No trials: whether a champion's were young enough for a candidate to be compared with."""
    REVERTED = "reverted"
    """No trials: a person made an earlier champion the champion again, before the candidate that it meets."""


class TrialState(StrEnum):
    """Where a trial is. `running` rows of a dead process are marked `cancelled` by the next one, and kept."""

    RUNNING = "running"
    SCORED = "scored"
    ERRORED = "errored"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    """What happened in a step."""

    MODEL_CALL = "model_call"
    EXEC = "exec"
    READ = "read"
    WRITE = "write"
    NOTE = "note"
    OUTPUT = "output"
    """What the harness printed."""
    TASK = "task"
    """What lorimer did for the task: a part of it began or was verified, an artifact was taken."""
    ERROR = "error"
    VERDICT = "verdict"


class Fault(StrEnum):
    """What is wrong with an edit that is refused; a candidate's row keeps the word (`traces.previews.RefusedEdit`)."""

    CHANGES_NOTHING = "changes_nothing"
    DOES_NOT_APPLY = "does_not_apply"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    OTHER_KIND = "other_kind"
    TRIED = "tried"
    DEAD_END = "dead_end"
    GOES_BACK = "goes_back"
    KNOWS_TASKS = "knows_tasks"
    DOES_NOT_START = "does_not_start"
    INERT = "inert"
