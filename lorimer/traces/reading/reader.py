"""Reading the trace store: read-only connections that are safe beside the writer, in this process or in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import desc, func, or_, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel, col, select

from lorimer.errors import UserError
from lorimer.kinds import SOLVED, Refused, SearchOrder, Stage, TrialOrder
from lorimer.traces import chain, made
from lorimer.traces.caching import CacheBreaks
from lorimer.traces.databases.base import Database, SearchQuery, StatementAnswer
from lorimer.traces.effects import Effect
from lorimer.traces.lines import FirstRan, LinesOfTrial, LinesRan
from lorimer.traces.previews import CandidatePreview
from lorimer.traces.reading import bulk, calls, marks, records
from lorimer.traces.reading.outlines import Hit, StepSearch, outlines
from lorimer.traces.schema import Conditions, Direction, ModelCallData, Share, Spent, StepOutline, TrialEnd, TrialState
from lorimer.traces.sealed import DECISIONS_IN_ORDER, STUDIES_IN_ORDER, SealedReader
from lorimer.traces.tables import (
    AbilityRow,
    Candidate,
    ChainRow,
    ConditionRow,
    DecisionRow,
    Evaluation,
    HarnessRow,
    LinesRow,
    PreviewRow,
    Spend,
    SpentRow,
    Step,
    StudyRow,
    TaskRow,
    Trial,
    WarningRow,
)
from lorimer.traces.wired import Gap, Record

if TYPE_CHECKING:
    from lorimer.traces.writing.store import Store


Row = TypeVar("Row", bound=SQLModel)


class StoreReader(SealedReader):
    """The trace store, open for reading: a `traces.base.StudyReader`, which says what each method does and raises.

    Args:
        source: an open store, or its database, file or URL. A file is opened for each question and closed after it, and
            connections to a server end with the reader: it need not be closed.

    Raises UserError when the file is missing, is not a trace store, or has another version's schema; LorimerError when it
    cannot be read.
    """

    def __init__(self, source: Store | Database | Path | str) -> None:
        # An open store is known by its database: every reader would wait 0.02 s for the import of the writer's class.
        super().__init__(source.database if hasattr(source, "database") else source)
        self._engine = self.database.reading()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._engine.dispose()

    # ---- studies ----------------------------------------------------------------------------------------------------

    def studies(self) -> list[StudyRow]:
        return self._all(select(StudyRow).order_by(text(STUDIES_IN_ORDER)))

    def study(self, study: str) -> StudyRow:
        found = self._get(StudyRow, study)
        if found is None:
            raise self._no_study(study, [row.id for row in self.studies()])
        return found

    def latest_study(self, kind: str | None = None) -> StudyRow | None:
        found = [study for study in self.studies() if study.kind == kind or (kind is None and study.kind != "check")]
        return found[-1] if found else None

    def tasks(self, study: str, split: str | None = None) -> list[TaskRow]:
        wanted = select(TaskRow).where(TaskRow.study == study).order_by(col(TaskRow.position), TaskRow.id)
        return self._all(wanted if split is None else wanted.where(TaskRow.split == split))

    def harness(self, sha: str) -> HarnessRow:
        return self._by_prefix(HarnessRow, "sha", sha, "harness")

    def candidates(self, study: str, since: int = 0) -> list[Candidate]:
        wanted = select(Candidate).where(Candidate.study == study, col(Candidate.number) >= since)
        return [made.told(row) for row in self._all(wanted.order_by(col(Candidate.number)))]

    def candidate(self, candidate: str) -> Candidate | None:
        found = self._get(Candidate, candidate)
        return None if found is None else made.told(found)

    def made(self, candidate: str) -> Candidate | None:
        found = self._get(Candidate, candidate)
        return found if made.waits(found) else None

    def preview(self, candidate: str) -> CandidatePreview | None:
        found = self._get(PreviewRow, candidate)
        return None if found is None or self.made(candidate) else CandidatePreview.of_json(found.body)

    def effects(self, candidates: Sequence[str]) -> dict[str, Effect]:
        with self.database.plain() as connection:
            return bulk.effects(connection, candidates)

    def abilities(self, model: str) -> AbilityRow | None:
        return self._get(AbilityRow, model)

    def evaluation(self, evaluation: str) -> Evaluation | None:
        return self._get(Evaluation, evaluation)

    def evaluations(self, study: str, subject: str) -> list[Evaluation]:
        wanted = select(Evaluation).where(Evaluation.study == study, Evaluation.subject == subject)
        return self._all(wanted.order_by(Evaluation.id))

    def evaluation_ids(self, study: str) -> frozenset[str]:
        with self.database.plain() as connection:
            return bulk.evaluation_ids(connection, study)

    def decisions(self, study: str, after: int = 0) -> list[DecisionRow]:
        wanted = select(DecisionRow).where(DecisionRow.study == study).order_by(text(DECISIONS_IN_ORDER))
        return self._all(wanted.offset(after))

    def program(self, study: str) -> Direction | None:
        rows = self.chain(study, "program")
        return Direction(str(rows[-1].body["sha256"]), str(rows[-1].body["text"])) if rows else None

    def head(self) -> str:
        with self._session() as session:
            newest = select(ChainRow.hash).order_by(col(ChainRow.number).desc()).limit(1)
            return session.exec(newest).one_or_none() or chain.BEGINNING

    def spent(self, study: str) -> Spent:
        totals = select(SpentRow).where(SpentRow.study == study)
        reserved = select(Spend.role, Spend.reserved_usd, Spend.reserved_tokens)
        trials = (
            select(func.count()).select_from(Trial).where(Trial.study == study, col(Trial.state).in_(chain.FINISHED))
        )
        shares: dict[str, Share] = {}
        with self._session() as session:
            for row in session.exec(totals):
                shares[row.role] = Share(
                    row.usd, row.tokens, row.unknown, row.calls, row.input_tokens, row.cached_tokens
                )
            # A reservation that nobody settled is taken at its full size.
            for role, usd, tokens in session.exec(reserved.where(Spend.study == study, col(Spend.settled).is_(False))):
                shares[role] = shares.get(role, Share()) + Share(usd or 0.0, tokens, int(usd is None), 1)
            finished = session.exec(trials).one()
            seconds = session.exec(select(StudyRow.seconds).where(StudyRow.id == study)).one_or_none()
        with self.database.plain() as connection:
            saved = bulk.saved(connection, study)
        hours = (seconds or 0.0) / 3600
        return Spent(shares.get("task", Share()), shares.get("meta", Share()), finished, hours, saved)

    def cache_breaks(self, study: str) -> CacheBreaks:
        with self.database.plain() as connection:
            return bulk.cache_breaks(connection, study)

    def warnings(self, study: str) -> list[WarningRow]:
        return self._all(select(WarningRow).where(WarningRow.study == study).order_by(WarningRow.made, WarningRow.id))

    def mark(self, study: str) -> marks.StudyMark:
        with self.database.plain() as connection:
            return marks.mark(connection, study)

    # ---- trials -----------------------------------------------------------------------------------------------------

    def outcomes(self, evaluation: str) -> list[Trial]:
        finished = self._trials_of(evaluation, chain.FINISHED)
        planned = self.evaluation(evaluation)
        last = {(trial.task, trial.repeat): trial for trial in finished}
        order = [(task, repeat) for task, repeat in planned.plan] if planned else list(last)
        return [last[key] for key in order if key in last]

    def scored(self, evaluations: Sequence[str]) -> list[tuple[str, str, int, float]]:
        with self.database.plain() as connection:
            return bulk.scored(connection, evaluations)

    def attempts(self, evaluation: str) -> list[bulk.Attempt]:
        with self.database.plain() as connection:
            return bulk.attempts(connection, evaluation)

    def took(self, evaluations: Sequence[str]) -> dict[str, Share]:
        with self.database.plain() as connection:
            return bulk.took(connection, evaluations)

    def scored_trials(self, evaluations: Sequence[str]) -> list[bulk.ScoredTrial]:
        with self.database.plain() as connection:
            return bulk.scored_trials(connection, evaluations)

    def trial_costs(self, evaluations: Sequence[str]) -> list[bulk.TrialCost]:
        with self.database.plain() as connection:
            return bulk.trial_costs(connection, evaluations)

    def trials_of_harness(self, study: str, sha: str) -> list[bulk.Attempt]:
        with self.database.plain() as connection:
            return bulk.trials_of_harness(connection, study, sha)

    def lines_ran(self, evaluations: Sequence[str]) -> list[bulk.TrialLines]:
        with self.database.plain() as connection:
            return bulk.lines_ran(connection, evaluations)

    def trial_lines(self, trial: str) -> LinesOfTrial | None:
        found = self._get(LinesRow, trial)
        if found is None:
            return None
        return LinesOfTrial(LinesRan.of(found.ran, found.whole), tuple(FirstRan(*each) for each in found.led_to or ()))

    def refused(self, evaluations: Sequence[str]) -> dict[str, Refused]:
        with self.database.plain() as connection:
            return bulk.refused(connection, evaluations)

    def conditions(self, evaluations: Sequence[str]) -> dict[str, list[bulk.Ran]]:
        with self.database.plain() as connection:
            return bulk.conditions(connection, evaluations)

    def study_conditions(self, study: str) -> list[bulk.Ran]:
        with self.database.plain() as connection:
            return bulk.study_conditions(connection, study)

    def trial_conditions(self, trial: str) -> Conditions | None:
        wanted = select(ConditionRow).join(Trial, col(Trial.condition) == ConditionRow.id).where(Trial.id == trial)
        return next(
            (Conditions(row.concurrency, tuple(row.images), tuple(row.answered)) for row in self._all(wanted)), None
        )

    def conditions_differ(self) -> bool:
        with self.database.plain() as connection:
            return bulk.conditions_differ(connection)

    def refusal(self, evaluations: Sequence[str]) -> tuple[str, str] | None:
        with self.database.plain() as connection:
            return bulk.refusal(connection, evaluations)

    def unscored(self, evaluations: Sequence[str]) -> list[bulk.Tried]:
        with self.database.plain() as connection:
            return bulk.unscored(connection, evaluations)

    def trial_seconds(self, study: str) -> float:
        with self.database.plain() as connection:
            return bulk.trial_seconds(connection, study)

    def trial_counts(self, study: str) -> list[bulk.TrialCounts]:
        with self.database.plain() as connection:
            return bulk.trial_counts(connection, study)

    def task_totals(self, evaluations: Sequence[str]) -> list[marks.TaskTotals]:
        with self.database.plain() as connection:
            return marks.task_totals(connection, evaluations)

    def ran_whole(self, evaluation: str) -> set[tuple[str, int]]:
        with self.database.plain() as connection:
            return marks.ran_whole(connection, evaluation)

    def replayed(self, evaluations: Sequence[str]) -> set[tuple[str, str]]:
        with self.database.plain() as connection:
            return marks.replayed(connection, evaluations)

    def flagged(self, study: str) -> list[tuple[str, str, list[str]]]:
        with self.database.plain() as connection:
            return bulk.flagged(self.database.flagged(connection, study))

    def ends(self, evaluation: str) -> list[tuple[str, TrialEnd]]:
        with self.database.plain() as connection:
            return bulk.ends(connection, evaluation)

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
        most: dict[TrialOrder, Any] = {
            "cost": Trial.cost_usd,
            "tokens": col(Trial.input_tokens) + col(Trial.output_tokens),
            "seconds": Trial.seconds,
        }
        newest: tuple[Any, ...] = (desc(Trial.started), desc(Trial.id))
        wanted = select(Trial)
        if order != "newest":
            wanted = wanted.order_by(desc(most[order]).nulls_last())
        wanted = wanted.order_by(*newest)
        equal = {"study": study, "task": task, "state": state, "stage": stage, "evaluation": evaluation}
        wanted = wanted.where(*_matching(equal, harness, failed=failed))
        if sealed:
            wanted = wanted.where(or_(col(Trial.stage) != Stage.HOLDOUT, col(Trial.study).not_in(sealed)))
        return self._all(wanted if limit is None else wanted.limit(limit))

    def trials_of_task(self, study: str, task: str) -> int:
        with self.database.plain() as connection:
            return bulk.trials_of_task(connection, study, task)

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
        equal = {"study": study, "task": task, "state": state, "stage": stage}
        wanted = select(Trial.id).where(*_matching(equal, harness, failed=failed))
        return self._all(wanted.order_by(Trial.started, Trial.id))

    def trial(self, trial: str) -> Trial:
        return self._by_prefix(Trial, "id", trial, "trial")

    def steps(self, owner: str, first: int = 0, last: int | None = None, kind: str | None = None) -> list[Step]:
        wanted = select(Step).where(Step.owner == owner, col(Step.index) >= first).order_by(col(Step.index))
        if kind is not None:
            wanted = wanted.where(Step.kind == kind)
        return self._all(wanted if last is None else wanted.where(col(Step.index) <= last))

    def step_count(self, owner: str) -> int:
        with self._session() as session:
            return session.exec(select(func.count()).select_from(Step).where(Step.owner == owner)).one()

    def conversation(self, owner: str, index: int) -> ModelCallData:
        with self._session() as session:
            return calls.whole(session, owner, index)

    def added(self, step: Step) -> ModelCallData:
        with self._session() as session:
            return calls.call(session, step, step.data["append"])

    def trajectory(self, owner: str) -> list[tuple[Step, ModelCallData | None]]:
        steps = self.steps(owner)
        with self._session() as session:
            return list(zip(steps, calls.added(session, steps), strict=True))

    def records(self, trials: Sequence[str]) -> dict[str, Record | Gap]:
        with self.database.plain() as connection:
            return records.read(connection, trials)

    def search(
        self,
        words: str,
        study: str | None = None,
        limit: int = 20,
        *,
        order: SearchOrder = "best",
        sealed: Sequence[str] = (),
    ) -> list[Hit]:
        with self.database.plain() as connection:
            found = self.database.search(connection, SearchQuery(words, study, limit, order, sealed))
        wanted = self._all(select(Step).where(col(Step.id).in_([number for number, _ in found])))
        steps = {step.id: step for step in wanted}
        return [Hit(steps[number], snippet) for number, snippet in found if number in steps]

    def outlines(self, trials: Sequence[str]) -> dict[str, list[StepOutline]]:
        with self.database.plain() as connection:
            return outlines(self.database, connection, trials)

    def searching(self, trials: Sequence[str]) -> StepSearch:
        return StepSearch(self.database, trials)

    def sql(self, statement: str, limit: int | None = None) -> StatementAnswer:
        return self.database.ask(statement, limit)

    # ---- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield session
        except DBAPIError as error:
            raise self.database.unreadable(error.orig or error) from None

    def _all(self, wanted: Any) -> list[Any]:
        with self._session() as session:
            return list(session.exec(wanted).all())

    def _get(self, kind: type[Row], key: str) -> Row | None:
        with self._session() as session:
            return session.get(kind, key)

    def _by_prefix(self, kind: type[Row], column: str, prefix: str, noun: str) -> Row:
        exact = self._get(kind, prefix)
        if exact is not None:
            return exact
        key = getattr(kind, column)
        found = self._all(select(kind).where(*_begins(key, prefix)).order_by(key).limit(11))
        if not prefix or not found:
            raise UserError(f"there is no {noun} {prefix or '(empty)'} in {self.database.name}")
        if len(found) > 1:
            names = ", ".join(str(getattr(row, column)) for row in found[:10]) + (", …" if len(found) > 10 else "")
            raise UserError(f"{noun} {prefix} is not unique; it could be {names}")
        row: Row = found[0]
        return row

    def _trials_of(self, evaluation: str, states: tuple[str, ...]) -> list[Trial]:
        wanted = select(Trial).where(Trial.evaluation == evaluation, col(Trial.state).in_(states))
        return self._all(wanted.order_by(Trial.task, col(Trial.repeat), col(Trial.attempt)))


def _matching(equal: Mapping[str, str | None], harness: str | None, *, failed: bool) -> list[Any]:
    """The conditions of a listing of trials; what is `None` is none."""
    found = [col(getattr(Trial, column)) == value for column, value in equal.items() if value is not None]
    if failed:
        found += [col(Trial.state) == TrialState.SCORED.value, col(Trial.reward) < SOLVED]
    return [*found, *(() if harness is None else _begins(Trial.harness, harness))]


def _begins(column: Any, prefix: str) -> tuple[Any, Any]:
    """That a text begins so, as a range, which an index serves; LIKE looks at every row."""
    return col(column) >= prefix, col(column) < f"{prefix}\U0010ffff"
