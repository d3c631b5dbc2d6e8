"""The two doors to the trace store: whoever works with studies holds one of these protocols, and knows no database.

`traces.writing.store.Store` is the writer; there is one for each store. `traces.reading.reader.StoreReader` reads beside it, in
this process or in another one. Besides what is said of a method, every one raises LorimerError where the store cannot be written
or read at all: the disk is full, the file is locked or damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from lorimer.kinds import SearchOrder, TrialOrder
from lorimer.traces.caching import CacheBreaks
from lorimer.traces.chain import ChainEntry
from lorimer.traces.databases.base import StatementAnswer
from lorimer.traces.effects import Effect
from lorimer.traces.lines import LinesOfTrial
from lorimer.traces.many import TrialsReader
from lorimer.traces.previews import CandidatePreview
from lorimer.traces.reading.bulk import Attempt
from lorimer.traces.reading.marks import StudyMark
from lorimer.traces.reading.outlines import Hit, StepSearch
from lorimer.traces.schema import Conditions, Direction, ModelCallData, Spent, StepOutline, TraceSink
from lorimer.traces.settings import SettingChange, SettingValues
from lorimer.traces.tables import (
    AbilityRow,
    Candidate,
    DecisionRow,
    Evaluation,
    HarnessRow,
    Step,
    StudyRow,
    TaskRow,
    Trial,
    WarningRow,
)
from lorimer.traces.wired import Gap, Record


class StudyWriter(TraceSink, Protocol):
    """Keeps studies, and the trials of a `TraceSink`. Every awaited method is one transaction."""

    async def flush(self) -> None:
        """Returns when all that was handed over before is committed, so that a reader sees it."""
        ...

    async def create_study(
        self, study: StudyRow, tasks: Sequence[TaskRow], harness_text: str, rival: tuple[Candidate, str] | None = None
    ) -> None:
        """Store a study, its tasks, its seed harness and the candidate it begins with. Raises UserError when the id is taken."""
        ...

    async def claim(self, study_id: str, holder: str, *, over: str = "") -> None:
        """Make `holder` (`traces.writing.holder.this_process`) the one process that runs the study. Claiming again does nothing.

        A holder on this host that is dead is taken over, and so is `over`, once the file has been looked through, as
        the machine may have died with the process. Raises UserError naming a holder that lives, or that runs on another host,
        where nobody here can tell, and for a study that is not there; LorimerError where the file is damaged.

        From then on until `release`, nothing is stored once another process has taken the study over: whatever is to be
        stored raises TakenOver.
        """
        ...

    async def release(self, study_id: str, holder: str) -> None:
        """Let go of the study, if `holder` has it."""
        ...

    async def add_harness(self, sha: str, text: str) -> None:
        """Store a harness's text under its SHA-256, as it is. Doing so again changes nothing."""
        ...

    async def add_candidate(self, candidate: Candidate) -> Candidate:
        """Store a new candidate, whose parent's text is there, and return it as stored. Raises NumberTaken."""
        ...

    async def add_round(
        self, candidates: Sequence[Candidate], leaves: Mapping[str, str] | None = None
    ) -> list[Candidate]:
        """Store the new candidates of a round in one transaction, and return them as they are stored.

        Args:
            leaves: candidates by id, in state `proposed`, whose edits these are, with why they end: as `rebased`.

        Raises NumberTaken, and InternalError when one of `leaves` is in another state; then nothing is stored.
        """
        ...

    async def update_candidate(
        self, candidate_id: str, expect_state: str, *, preview: CandidatePreview | None = None, **changes: Any
    ) -> Candidate:
        """Change a candidate that is in `expect_state` and return it as stored; a promotion is chained in the same transaction.

        Args:
            preview: what its edit touches, stored with it.

        Of one that fails while it is `proposing` nothing is kept of what its session came to, but what is given here.

        Raises InternalError when it is in another state or missing.
        """
        ...

    async def end_session(
        self,
        candidate_id: str,
        harness: HarnessRow | None = None,
        *,
        preview: CandidatePreview | None = None,
        **outcome: Any,
    ) -> Candidate:
        """Store what the session of a candidate came to (`traces.made`), all at once, and return the row as stored.

        The candidate stays `proposing`, and readers other than `made` show nothing of it until its state is another one.

        Args:
            harness: its edited harness; `None` where there is no usable edit, of which `failure` says why.
            preview: what its edit touches, stored with it.
            outcome: other columns of `made.nothing`.

        Raises InternalError when it is in another state or missing.
        """
        ...

    async def set_effects(self, effects: Mapping[str, Effect]) -> None:
        """Say what the edits of candidates did, by their ids, in place of what was stored before."""
        ...

    async def add_evaluation(self, evaluation: Evaluation, chained: Mapping[str, Any] | None = None) -> None:
        """Store a plan before its first trial. Doing so again changes nothing; raises InternalError when the stored one differs.

        Args:
            chained: how it will be judged, which is chained in the same transaction, in an entry of kind `plan`.
        """
        ...

    async def add_decision(self, decision: DecisionRow, leaves: str = "") -> DecisionRow:
        """Store what the gate said, chained with a digest of its evaluation's trials, and return it; the same again does nothing.

        Args:
            leaves: the state in which the decision leaves its candidate, which is `proposed` until then; empty where the
                candidate goes on.

        Raises InternalError when the stored decision differs, or when the candidate is in another state.
        """
        ...

    async def set_study_state(self, study_id: str, state: str, reason: str = "") -> None:
        """Say where the study is. Raises InternalError for an unknown one."""
        ...

    async def set_settings(
        self, study_id: str, before: SettingValues, after: SettingValues, lorimer_toml: SettingValues | None = None
    ) -> list[SettingChange]:
        """Store what changed in the tables of lorimer.toml in which a resume may change something, and chain it; returns it.

        Args:
            before: the study's settings with every key that there is, those that its lorimer did not know included.
            after: the same as they are from now on.
            lorimer_toml: what the file says now; `None` leaves what is stored of it.
        """
        ...

    async def ask_pause(self, study_id: str, by: str, why: str) -> None:
        """Chain that a person asks whoever runs the study to pause it. Raises UserError where no living process does."""
        ...

    async def note_program(self, study_id: str, sha: str, text: str, candidate: str) -> None:
        """Chain the user's direction, with its SHA-256, as it is from a candidate's proposal on."""
        ...

    async def first_told(self, study_id: str, name: str) -> bool:
        """Note that the user's command is told something of this name; whether nobody has noted that before."""
        ...

    async def set_seconds(self, study_id: str, seconds: float) -> None:
        """Say for how long processes have run the study, all in all."""
        ...

    async def cancel_running(self, study_id: str) -> int:
        """Mark the trials that a dead process left `running` as `cancelled`, keeping them; how many there were.

        What they cost is what their answered calls cost, and what was set aside for those that were under way.
        Call it after `claim` and before the first trial.
        """
        ...

    async def set_abilities(self, row: AbilityRow) -> None:
        """Say what a server honours for a model, in place of what was known before."""
        ...


class StudyReader(TrialsReader, Protocol):
    """Answers about studies, their trials and their trajectories. Nothing here changes anything."""

    # ---- studies

    def studies(self) -> list[StudyRow]:
        """All studies, in the order in which they were created, whatever the clock said then."""
        ...

    def study(self, study: str) -> StudyRow:
        """The study of that name. Raises UserError, naming the studies that there are."""
        ...

    def latest_study(self, kind: str | None = None) -> StudyRow | None:
        """The study of this kind (`optimize`, `run`, `check`) that began last, or `None`; without a kind, of any but `check`."""
        ...

    def tasks(self, study: str, split: str | None = None) -> list[TaskRow]:
        """The study's tasks in the suite's order."""
        ...

    def harness(self, sha: str) -> HarnessRow:
        """A harness by its SHA-256 or a unique beginning of it. Raises UserError."""
        ...

    def harness_texts(self, shas: Iterable[str]) -> dict[str, str]:
        """The texts of those of these harnesses that there are, by SHA-256."""
        ...

    def candidates(self, study: str, since: int = 0) -> list[Candidate]:
        """The study's candidates in order of number, from number `since` on, each as `candidate` gives it."""
        ...

    def candidate(self, candidate: str) -> Candidate | None:
        """A candidate by its id; one that is `proposing` without what its session may have come to already."""
        ...

    def made(self, candidate: str) -> Candidate | None:
        """A candidate that is `proposing`, with what its session came to; `None` where none has ended, or its turn has come."""
        ...

    def preview(self, candidate: str) -> CandidatePreview | None:
        """What a candidate's edit touches, by the candidate's id; `None` where that was not worked out."""
        ...

    def effects(self, candidates: Sequence[str]) -> dict[str, Effect]:
        """What the edits of these candidates did, by their ids, as far as it is stored (`ledger.effects` works out the rest)."""
        ...

    def evaluation(self, evaluation: str) -> Evaluation | None:
        """An evaluation by its id."""
        ...

    def evaluations(self, study: str, subject: str) -> list[Evaluation]:
        """The study's evaluations of a candidate, by its id, or of the seed harness (""), in order of id."""
        ...

    def evaluation_ids(self, study: str) -> frozenset[str]:
        """The ids of all the study's evaluations."""
        ...

    def plans(self, evaluations: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        """The plans of those of these evaluations that there are: task and repeat of each trial, in planned order."""
        ...

    def decisions(self, study: str, after: int = 0) -> list[DecisionRow]:
        """The study's decisions in the order in which they were made, without the first `after` of them."""
        ...

    def chain(self, study: str | None = None, kind: str | None = None) -> list[ChainEntry]:
        """The whole chain (`traces.chain`), in order of number; or its entries of one study and kind."""
        ...

    def program(self, study: str) -> Direction | None:
        """The user's direction when a study last proposed something; `None` where it never did, or an older lorimer ran it."""
        ...

    def head(self) -> str:
        """The chain's last hash."""
        ...

    def trials_digests(self, evaluations: Sequence[str]) -> dict[str, str]:
        """What decisions' entries in the chain hold of these evaluations' trials, as they are now; none where there are none."""
        ...

    def spent(self, study: str) -> Spent:
        """What the study has spent so far; nothing where there is none of that name."""
        ...

    def cache_breaks(self, study: str) -> CacheBreaks:
        """The calls of a study's trials that lost what the provider's cache held (`traces.caching`)."""
        ...

    def abilities(self, model: str) -> AbilityRow | None:
        """What a server was found to honour for a model, by `PROVIDER/NAME`; `None` where it was not asked."""
        ...

    def warnings(self, study: str) -> list[WarningRow]:
        """Budget warnings that were given, in order."""
        ...

    def mark(self, study: str) -> StudyMark:
        """What changes when the study's rows do: asked every second by who watches it, from indices alone."""
        ...

    # ---- trials

    def trial(self, trial: str) -> Trial:
        """A trial by its id or a unique beginning of it. Raises UserError that lists the ids it could be."""
        ...

    def trials(
        self,
        study: str | None = None,
        *,
        task: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        harness: str | None = None,
        evaluation: str | None = None,
        failed: bool = False,
        order: TrialOrder = "newest",
        limit: int | None = 100,
        sealed: Sequence[str] = (),
    ) -> list[Trial]:
        """Trials that match all that is given.

        Args:
            sealed: studies whose trials on the holdout are left out.
            harness: the beginning of its SHA-256, or all of it.
            failed: only scored trials whose reward is under 1.
            order: the newest first, or those that took most first and those of unknown cost last.
        """
        ...

    def trials_of_task(self, study: str, task: str) -> int:
        """How many trials a study has of a task."""
        ...

    def trial_ids(
        self,
        study: str,
        *,
        task: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        harness: str | None = None,
        failed: bool = False,
    ) -> list[str]:
        """The ids of a study's trials that match all that is given, as `trials` has it, in the order in which they began."""
        ...

    def attempts(self, evaluation: str) -> list[Attempt]:
        """Every trial of an evaluation in a few words, those under way included, by task, repeat and attempt."""
        ...

    def outcomes(self, evaluation: str) -> list[Trial]:
        """The last finished attempt of each planned trial that has finished, in planned order."""
        ...

    def trial_lines(self, trial: str) -> LinesOfTrial | None:
        """Which lines of its harness ran in a trial, and to which steps they led; `None` where nothing was told."""
        ...

    def trial_conditions(self, trial: str) -> Conditions | None:
        """What a trial ran under, by its id; `None` where nothing was kept."""
        ...

    # ---- trajectories

    def steps(self, owner: str, first: int = 0, last: int | None = None, kind: str | None = None) -> list[Step]:
        """Steps `first` to `last` (both included) of a trial or of a proposal session; of one kind where that is given."""
        ...

    def step_count(self, owner: str) -> int:
        """How many steps a trial or a proposal session has."""
        ...

    def conversation(self, owner: str, index: int) -> ModelCallData:
        """The model call at a step, with all its messages. Raises UserError when that step is no model call."""
        ...

    def added(self, step: Step) -> ModelCallData:
        """The model call at `step`, with only those messages that the call before it did not have."""
        ...

    def trajectory(self, owner: str) -> list[tuple[Step, ModelCallData | None]]:
        """Every step of a trial or of a proposal session; for a model call what `added` gives, for other steps `None`."""
        ...

    def records(self, trials: Sequence[str]) -> dict[str, Record | Gap]:
        """The records of these trials by id, or why one cannot be replayed. Raises UserError for a trial that is not there."""
        ...

    def search(
        self,
        words: str,
        study: str | None = None,
        limit: int = 20,
        *,
        order: SearchOrder = "best",
        sealed: Sequence[str] = (),
    ) -> list[Hit]:
        """Steps that match, by default the best first; of over 20,000 only the newest so many are ranked. FTS5 syntax (`a OR b`,
        `"a phrase"`, `pre*`) is used where it is valid, and plain words where it is not: any text may be given.

        Args:
            study: only its trials and proposal sessions.
            sealed: studies whose trials on the holdout are left out.
            order: `newest` reads no more than it gives; `steps` goes by owner and step. A rank weighs words by how rare they
                are in the whole store, so it depends on other trials; what a model reads must not.
        """
        ...

    def outlines(self, trials: Sequence[str]) -> dict[str, list[StepOutline]]:
        """A few facts of each step of these trials, in order and without verdicts; trials without steps are left out."""
        ...

    def searching(self, trials: Sequence[str]) -> StepSearch:
        """A search over the steps of these trials alone, verdicts left out, for whoever asks several times."""
        ...

    def sql(self, statement: str, limit: int | None = None) -> StatementAnswer:
        """Run one statement of the user's own, which can only read. Raises UserError for a write and for wrong SQL."""
        ...
