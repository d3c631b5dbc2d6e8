"""The tables of the trace store.

Rows that are finished never change. A message is stored once, by the SHA-256 of its canonical JSON; a model call refers to
its messages as "the first `keep` messages of the previous call of the same trajectory, then these", so a trace grows
linearly with the conversation. Identities are names that follow from what they name (DESIGN 4.5), never autoincrement ids
or times; those exist in the tables, for people, and no model reads them.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import JSON, Column, Dialect, Index, Text, TypeDecorator, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from lorimer.kinds import Purpose
from lorimer.traces import codec


class _JsonText(TypeDecorator[Any]):
    """JSON in a column of text, as SQLite keeps it: what was hashed stays as it was, and an index can compare it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else codec.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


Json = JSON(none_as_null=True).with_variant(_JsonText(), "postgresql")
"""The type of every column that holds JSON."""


def _json() -> Any:
    return Field(sa_column=Column(Json, nullable=False))


class StudyRow(SQLModel, table=True):
    """One optimisation campaign, or one plain run (`kind`)."""

    __tablename__ = "study"
    id: str = Field(primary_key=True)
    kind: str
    """`optimize`, `run` or `check`."""
    created: str
    """UTC, ISO 8601."""
    state: str
    """`running`, `paused`, `finished`."""
    state_reason: str = ""
    seed: int
    task_model: str
    meta_model: str
    benchmark: str
    suite_digest: str
    config: dict[str, Any] = _json()
    """The resolved lorimer.toml, overrides included, with the sandbox that was chosen; holds no keys."""
    seed_harness: str
    holder: str = ""
    """`host:pid:start` of the process that runs it; empty when none."""
    held_since: str = ""
    """When that process took it; UTC, ISO 8601."""
    seconds: float = 0.0
    """How long processes have run it, all in all, by their monotonic clocks; a killed one's last seconds are missing."""
    lorimer_toml: dict[str, Any] | None = Field(default=None, sa_column=Column(Json, nullable=True))
    """What the file said when the study began or was last resumed; `None` of a study that an older lorimer began."""


class TaskRow(SQLModel, table=True):
    """A task as it was when the study began; the split is stored here and never recomputed."""

    __tablename__ = "task"
    study: str = Field(primary_key=True, foreign_key="study.id")
    id: str = Field(primary_key=True)
    position: int
    """Order in the suite."""
    split: str
    """`train`, `holdout`, `test` or `canary`."""
    digest: str
    instruction: str
    category: str = ""
    difficulty: str = ""
    isolation: str = "restart"


class HarnessRow(SQLModel, table=True):
    """A harness's text, by its SHA-256."""

    __tablename__ = "harness"
    sha: str = Field(primary_key=True)
    text: str


class Candidate(SQLModel, table=True):
    """A harness that the meta-agent proposed, with what it expected of it."""

    id: str = Field(primary_key=True)
    """`<study>/c<number>`."""
    study: str = Field(foreign_key="study.id", index=True)
    number: int
    parent: str = Field(foreign_key="harness.sha")
    harness: str | None = Field(default=None, foreign_key="harness.sha")
    """`None` where the meta-agent proposed nothing usable."""
    title: str = ""
    hypothesis: str = ""
    edit: list[dict[str, str]] = _json()
    """Hunks: `search`, `replace`."""
    fixes: list[str] = _json()
    """Tasks that it should fix."""
    at_risk: list[str] = _json()
    state: str
    """`proposing`, `proposed`, `rejected`, `promoted`, `undecided`, `failed`, `rebased` (its edit goes on as another one),
    `better` (it won a comparison of two files, which promotes nothing). One that is `proposing` may hold what its session came to
    already (`traces.made`)."""
    failure: str = ""
    """Why no usable edit came, when none did; of one that is rebased, as what it goes on."""
    origin: str = "meta"
    """`meta`, `human`, or `pruning` where lorimer took something out of the champion."""
    commit: str = ""
    """The git commit of a promotion."""
    kind: str = ""
    """What its edit is about (`proposer.asked.EDIT_KINDS`); empty where it was not stated."""
    cause: str = ""
    """What fails, as the proposal states it in a line."""
    mechanism: str = ""
    """How the edit should remove that."""
    citations: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    """What the hypothesis rests on: `trial` (as the meta-agent names it), `step`, `quote`; each was found there."""
    touches: dict[str, Any] | None = Field(default=None, sa_column=Column(Json, nullable=True))
    """How many recorded trials its edit touches (`traces.previews.Touches`); `None` where that was not worked out."""
    round: int | None = None
    """The number of the first candidate of its round; `None` where it is a round of its own."""
    cluster: str = ""
    """The kind of failures that its proposal was to be about; empty where it was to be about any."""
    rebased: int | None = None
    """The number of the candidate whose edit this is, made for an earlier champion; `None` of an edit that is new."""
    refused: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(Json, nullable=True))
    """Edits of its session that were refused (`traces.previews.RefusedEdit`); `None` where none was, or nobody kept them."""


class PreviewRow(SQLModel, table=True):
    """Which recorded trials a candidate's edit touches, one by one (`traces.previews.CandidatePreview`)."""

    __tablename__ = "preview"
    candidate: str = Field(primary_key=True)
    body: dict[str, Any] = _json()


class EffectRow(SQLModel, table=True):
    """What a candidate's edit did in its full run (`traces.effects.Effect`). No decision reads it."""

    __tablename__ = "effect"
    candidate: str = Field(primary_key=True)
    body: dict[str, Any] = _json()


class AbilityRow(SQLModel, table=True):
    """What a server was found to honour for a model."""

    __tablename__ = "ability"
    model: str = Field(primary_key=True)
    """`PROVIDER/NAME`."""
    address: str
    """Where it was asked; of another address nothing is known."""
    asked: str
    """UTC, ISO 8601."""
    found: dict[str, str] = _json()
    """`models.abilities.Abilities` by name."""


class Evaluation(SQLModel, table=True):
    """A planned set of trials of one harness for one stage. The plan is stored before its first trial starts."""

    id: str = Field(primary_key=True)
    """A name; what it stands for is said by the columns."""
    study: str = Field(foreign_key="study.id", index=True)
    subject: str = ""
    """The candidate whose harness runs; empty for the seed harness."""
    stage: str
    purpose: str = Purpose.FIRST.value
    met: int | None = None
    """The number of the candidate that a champion meets; `None` for `first`."""
    harness: str
    plan: list[list[Any]] = _json()
    """Pairs of task id and repeat, in planned order."""


class Trial(SQLModel, table=True):
    """One run of one harness on one task."""

    __table_args__ = (
        UniqueConstraint("planned", "attempt"),
        Index("trial_by_harness_task", "harness", "task"),
        Index("trial_began", "study", "started", "id"),
        Index("trial_started", "started"),
        # What is asked of many trials at once is answered from these alone (`traces.reading.bulk`).
        Index("trial_scores", "evaluation", "task", "repeat", "attempt", "state", "cause", "reward", "id"),
        Index("trial_refused", "evaluation", "state", "refused_calls", "model_calls", "condition"),
        Index("trial_counts", "study", "state", "stage", "network", "reward"),
        Index("trial_flagged", "study", sqlite_where=text("flags <> '[]'")),
        Index("trial_recorded", "study", sqlite_where=text("recorded_trial <> ''")),
    )
    id: str = Field(primary_key=True)
    planned: str
    study: str
    evaluation: str
    stage: str
    harness: str
    task: str
    repeat: int
    attempt: int
    model: str
    sandbox: str = ""
    network: bool = False
    started: str
    """UTC, ISO 8601."""
    state: str
    cause: str = ""
    detail: str = ""
    reward: float | None = None
    rewards: dict[str, float] = _json()
    answer: str = ""
    verifier_output: str = ""
    model_calls: int = 0
    refused_calls: int = 0
    """Those of the calls that the provider refused (`kinds.REFUSED`)."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    active_seconds: float = 0.0
    flags: list[str] = _json()
    condition: int | None = None
    """The row of `condition` that says what it ran under; `None` of a trial that runs, and of one of a time that kept none."""
    recorded_trial: str = ""
    """The trial from whose record its calls were answered until it was touched; empty where it had none."""
    touch: int | None = None
    """The number of the first call that the record did not hold, from 1."""
    saved_calls: int = 0
    """Model calls that were answered from the record. They are among `model_calls`, and what they cost among the totals."""
    saved_tokens: int = 0
    """Input plus output."""
    saved_usd: float | None = 0.0
    saved_seconds: float = 0.0
    ran_whole: str = ""
    """Why it ran whole and live although there was a record."""

    @property
    def tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens


class ConditionRow(SQLModel, table=True):
    """What trials of one task ran under, once for all that ran under the same. No model reads it, nor does a decision."""

    __tablename__ = "condition"
    __table_args__ = (Index("condition_same", "task", "concurrency", "images", "answered", unique=True),)
    id: int | None = Field(default=None, primary_key=True)
    task: str
    concurrency: int
    """Trials at once, as the process was told."""
    images: list[str] = _json()
    """What the task's images held, by digest."""
    answered: list[str] = _json()
    """The models that the provider's answers named."""


class MessageRow(SQLModel, table=True):
    """A message, a system prompt or a tool list, by the SHA-256 of its canonical JSON."""

    __tablename__ = "message"
    sha: str = Field(primary_key=True)
    body: dict[str, Any] = _json()


class Step(SQLModel, table=True):
    """One recorded event. `id` is the row of the full-text index."""

    __table_args__ = (UniqueConstraint("owner", "index"),)
    id: int | None = Field(default=None, primary_key=True)
    owner: str
    """A trial's id or a candidate's id."""
    index: int
    kind: str
    at: float
    seconds: float
    data: dict[str, Any] = _json()
    text: str = ""


class RecordRow(SQLModel, table=True):
    """What a trial's harness was told and asked for, and what it was answered, beside its steps (`traces.writing.ledger`)."""

    __tablename__ = "record"
    trial: str = Field(primary_key=True)
    body: dict[str, Any] = _json()


class LinesRow(SQLModel, table=True):
    """Which lines of agent.py ran in a trial, as its jail told (`traces.lines.LinesRan`). No decision reads it."""

    __tablename__ = "lines"
    trial: str = Field(primary_key=True)
    ran: str
    """`1-3,7`."""
    whole: bool
    """Whether the harness came to its own end; otherwise more lines may have run."""
    led_to: list[list[int]] | None = Field(default=None, sa_column=Column(Json, nullable=True))
    """First and last line of what ran for the first time, and the index of the step that came next; unset where an older lorimer
    ran the trial."""


class BlobRow(SQLModel, table=True):
    """Bytes that records hold, by the SHA-256 of what they are unpacked (`traces.writing.ledger.packed`)."""

    __tablename__ = "blob"
    sha: str = Field(primary_key=True)
    data: bytes


class DecisionRow(SQLModel, table=True):
    """What the gate said about a harness at a stage, and why."""

    __tablename__ = "decision"
    id: str = Field(primary_key=True)
    """The id of the evaluation that it was decided by, where it was by one."""
    study: str = Field(foreign_key="study.id", index=True)
    subject: str = ""
    """The candidate whose harness it is about; empty for the seed harness."""
    stage: str
    purpose: str = Purpose.FIRST.value
    met: int | None = None
    """The number of the candidate that a champion meets; `None` for `first`."""
    kind: str
    """`promote`, `reject`, `undecided`, or `pass` for a stage that only lets through."""
    reason: str
    numbers: dict[str, Any] = _json()
    policy: dict[str, Any] = _json()
    made: str
    """UTC, ISO 8601."""


class Spend(SQLModel, table=True):
    """One model call's money: reserved before, settled after."""

    # Calls under way are few, and calls that are settled are added up in `spent`.
    __table_args__ = (Index("spend_open", "study", sqlite_where=text("settled IS 0")),)
    id: str = Field(primary_key=True)
    study: str
    role: str
    owner: str
    reserved_usd: float | None = None
    reserved_tokens: int = 0
    settled: bool = False
    usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class SpentRow(SQLModel, table=True):
    """The settled calls of one role of a study, all together: what a reader would add up a million rows of `spend` for."""

    __tablename__ = "spent"
    study: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    """`task` or `meta`."""
    usd: float
    """Dollars; a call of unknown cost counts at what was reserved for it, where that is known."""
    tokens: int
    """Input plus output."""
    unknown: int
    """Calls of unknown cost."""
    calls: int
    input_tokens: int = 0
    cached_tokens: int = 0
    """Those of the input tokens that were read from the provider's cache."""


class CacheBreakRow(SQLModel, table=True):
    """A trial of which calls read far less from the provider's cache than was sent before (`traces.caching`)."""

    __tablename__ = "cache_break"
    study: str = Field(primary_key=True)
    trial: str = Field(primary_key=True)
    stage: str
    calls: int
    """How many of its calls did."""
    changed: int
    """Those of them that began otherwise than the call before."""
    lost_tokens: int
    step: int
    """The first of them."""
    why: str
    """How that one began, in words."""


class ChainRow(SQLModel, table=True):
    """One entry of the chain (`traces.chain`): what was decided, sealed by a hash over it and the entry before."""

    __tablename__ = "chain"
    __table_args__ = (Index("chain_about", "study", "kind", "subject"),)
    number: int = Field(primary_key=True)
    """1, 2, 3, … over the whole store."""
    study: str
    kind: str
    """`study`, `settings`, `plan`, `decision`, `promotion`, `program`, `pause`, `dropped` or `upgrade`."""
    subject: str
    """The id of what it is about."""
    body: dict[str, Any] = _json()
    made: str
    """UTC, ISO 8601."""
    previous: str
    """The hash of the entry before."""
    hash: str


class ToldRow(SQLModel, table=True):
    """Something of a study that the user's command was told, so that no process tells it again."""

    __tablename__ = "told"
    id: str = Field(primary_key=True)
    """A name of what was told, which begins with the study's id or a candidate's."""
    study: str
    made: str
    """UTC, ISO 8601."""


class WarningRow(SQLModel, table=True):
    """A budget warning that was given, so that no process gives it again."""

    __tablename__ = "warning"
    id: str = Field(primary_key=True)
    """`<study>/<budget key>/<limit>/<percent>`: a raised limit is warned of anew."""
    study: str = Field(index=True)
    text: str
    made: str
    """UTC, ISO 8601."""
