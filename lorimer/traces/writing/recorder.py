"""Keeps trials as they run: steps in batches, verdicts and money at once. The half of the writer that is a `TraceSink`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Integer, Row, bindparam, exists, func, literal, or_, select, update
from sqlmodel import SQLModel

from lorimer.errors import InternalError
from lorimer.kinds import StepKind, TrialState
from lorimer.traces import codec
from lorimer.traces.schema import (
    Conditions,
    ModelCallData,
    Replayed,
    Reservation,
    Settlement,
    StepData,
    TrialEnd,
    TrialStart,
    Used,
)
from lorimer.traces.scrub import Cleaner
from lorimer.traces.searched import text_of
from lorimer.traces.tables import (
    CacheBreakRow,
    ConditionRow,
    Json,
    LinesRow,
    RecordRow,
    Spend,
    SpentRow,
    Step,
    Trial,
    WarningRow,
)
from lorimer.traces.wired import WireCall, WirePart
from lorimer.traces.writing.ledger import Noted, RecordWriter
from lorimer.traces.writing.trajectory import OwnerSteps
from lorimer.traces.writing.writer import Transaction, Work, Writer, table_of

_TRIAL, _CONDITION, _SPEND, _SPENT = map(table_of, (Trial, ConditionRow, Spend, SpentRow))

_UNDER = {
    "concurrency": bindparam("of_concurrency", type_=Integer),
    "images": bindparam("of_images", type_=Json),
    "answered": bindparam("of_answered", type_=Json),
}
_ALIKE = (_CONDITION.c.task == _TRIAL.c.task, *(_CONDITION.c[name] == value for name, value in _UNDER.items()))
_MADE = _CONDITION.insert().from_select(
    ["task", *_UNDER],
    select(_TRIAL.c.task, *_UNDER.values()).where(
        _TRIAL.c.id == bindparam("of_trial"), ~exists().where(*_ALIKE).correlate(_TRIAL)
    ),
)
"""Makes the row for what a trial of a task ran under, where there is none."""
_CACHES = or_(
    _TRIAL.c.cached_tokens > 0,
    exists().where(_SPENT.c.study == _TRIAL.c.study, _SPENT.c.cached_tokens > 0).correlate(_TRIAL),
)
"""That something was read from a cache in a trial, or in its study by now. Of a provider that caches nothing no row is kept."""
_SAME = select(_CONDITION.c.id).where(*_ALIKE).scalar_subquery()
"""The number of that row."""
_ENDING = update(_TRIAL).where(_TRIAL.c.id == bindparam("of_trial"), _TRIAL.c.state == TrialState.RUNNING.value)
_ENDING_UNDER = _ENDING.values(condition=_SAME)

_UNSAID = {name: field.default for name, field in Trial.model_fields.items() if not field.is_required()}
"""What the columns of a trial that has just begun hold, unless it says otherwise."""
_SETTLING = (
    update(_SPEND)
    .where(_SPEND.c.id == bindparam("of_call"), _SPEND.c.settled.is_(False))
    .returning(_SPEND.c.study, _SPEND.c.role, _SPEND.c.reserved_usd)
)


class Recorder:
    """A `traces.schema.TraceSink`, which says what each method does.

    A trial whose id is there already is not recorded, and `close_trial` raises InternalError for it, as it does for a trial that
    does not run. `reserve` raises InternalError for an id that was reserved before.
    """

    def __init__(self, writer: Writer, cleaner: Cleaner) -> None:
        self._writer = writer
        self._cleaner = cleaner
        # Touched by the writer's thread alone.
        self._trajectories: dict[str, OwnerSteps] = {}
        self._ledgers: dict[str, RecordWriter] = {}
        self._refused: dict[str, InternalError] = {}

    def open_trial(self, start: TrialStart) -> None:
        started = now()

        def work(transaction: Transaction) -> None:
            planned = start.planned
            values = {
                **_UNSAID,
                "id": start.id,
                "planned": planned.id,
                "study": planned.study,
                "evaluation": planned.evaluation,
                "stage": planned.stage.value,
                "harness": planned.harness,
                "task": planned.task,
                "repeat": planned.repeat,
                "attempt": start.attempt,
                "model": start.model,
                "sandbox": start.sandbox,
                "network": start.network,
                "started": started,
                "state": TrialState.RUNNING.value,
                "rewards": {},
                "flags": [],
            }
            if not transaction.insert_new(_TRIAL, values):
                self._refused[start.id] = InternalError(f"trial {start.id} is in the trace store already")
            elif start.id not in self._trajectories:
                # It has no steps yet, which need not be asked of the database.
                self._trajectories[start.id] = OwnerSteps()

        self._writer.post(work)

    def step(self, step: StepData) -> None:
        def work(transaction: Transaction) -> None:
            if step.owner in self._refused:
                return
            trajectory = self._trajectory(transaction, step.owner)
            kind = step.kind.value
            data, encoded = self._cleaner.encoded(step.data)
            text = None
            if step.text or data is not step.data:  # lines in which nothing is masked hold nothing to mask together
                text = self._cleaner.text(step.text or text_of(kind, step.data))
            index = trajectory.take_index()
            if step.kind is StepKind.EXEC:
                trajectory.put_out(*(step.data[name] for name in ("stdout", "stderr") if name in step.data))
            row = {"owner": step.owner, "index": index, "kind": kind, "at": step.at, "seconds": step.seconds}
            transaction.add_step({**row, "data": data}, encoded, text)
            self._note(step.owner, step.call, index, data, exact=data is step.data or data == step.data)

        self._writer.post(work)

    def model_call(self, call: ModelCallData) -> None:
        def work(transaction: Transaction) -> None:
            if call.owner in self._refused:
                return
            trajectory = self._trajectory(transaction, call.owner)
            row = trajectory.model_call(call, self._cleaner.scrub, transaction.add_message)
            said = row["data"]
            row["data"], encoded = self._cleaner.encoded(said)
            transaction.add_step(row, encoded, self._cleaner.text(_text_of_call(call, row["data"], trajectory)))
            exact = not trajectory.masked and (row["data"] is said or said == row["data"])
            self._note(call.owner, call.call, row["index"], {}, exact=exact)

        self._writer.post(work)

    def wire_part(self, part: WirePart) -> None:
        def work(transaction: Transaction) -> None:
            if part.owner not in self._refused:
                ledger = self._ledgers.setdefault(part.owner, RecordWriter(self._cleaner))
                ledger.begin(part, transaction.add_blob)

        self._writer.post(work)

    def wire_call(self, call: WireCall) -> None:
        def work(transaction: Transaction) -> None:
            ledger = self._ledgers.get(call.owner)
            if ledger is not None:
                ledger.add(call, transaction.add_blob)

        self._writer.post(work)

    def _note(self, owner: str, call: int | None, index: int, data: Mapping[str, Any], *, exact: bool) -> None:
        ledger = self._ledgers.get(owner)
        if ledger is not None and call is not None:
            ledger.note(call, Noted(index, data, exact))

    async def close_trial(self, end: TrialEnd) -> None:
        def work(transaction: Transaction) -> None:
            refused = self._refused.pop(end.id, None)
            if refused is not None:
                raise refused
            trajectory = self._trajectories.pop(end.id, None)
            ledger = self._ledgers.pop(end.id, None)
            values = {
                **vars(end),
                **totals(end.used),
                **saved(end.replayed),
                "state": end.state.value,
                "cause": str(end.cause),
            }
            apart = ("id", "used", "conditions", "replayed", "ran")
            values = self._cleaner.row({name: value for name, value in values.items() if name not in apart})
            ending, under = _ENDING, {}
            if end.conditions.concurrency is not None:
                under = self._under(end.conditions)
                transaction.connection.execute(_MADE, {"of_trial": end.id, **under})
                ending = _ENDING_UNDER
            ended = transaction.connection.execute(ending, {"of_trial": end.id, **under, **values})
            if ended.rowcount != 1:
                state = transaction.connection.execute(select(_TRIAL.c.state).where(_TRIAL.c.id == end.id)).scalar()
                raise InternalError(f"trial {end.id} cannot end: it is {state or 'not in the trace store'}")
            if trajectory is not None and trajectory.breaks.calls:
                broken = vars(trajectory.breaks)
                whose = select(_TRIAL.c.study, _TRIAL.c.id, _TRIAL.c.stage, *map(literal, broken.values()))
                whose = whose.where(_TRIAL.c.id == end.id, _CACHES)
                columns = ["study", "trial", "stage", *broken]
                transaction.connection.execute(table_of(CacheBreakRow).insert().from_select(columns, whose))
            if end.ran is not None:
                steps = ledger.steps if ledger is not None else {}
                led_to = [[first, last, steps[call]] for first, last, call in end.ran.led_to if call in steps]
                lines = {"trial": end.id, "ran": str(end.ran), "whole": end.ran.whole, "led_to": led_to}
                transaction.insert_new(table_of(LinesRow), lines)
            replayable = end.state is TrialState.SCORED and (end.replayed is None or bool(end.replayed.whole))
            if ledger is not None and replayable:  # of no other is anything replayed
                body = ledger.body(values["answer"], transaction.add_blob)
                transaction.insert_new(table_of(RecordRow), {"trial": end.id, "body": body})

        await self._do(work, full=True)

    async def reserve(self, reservation: Reservation) -> None:
        def work(transaction: Transaction) -> None:
            values = {
                "id": reservation.id,
                "study": reservation.study,
                "role": reservation.role,
                "owner": reservation.owner,
                "reserved_usd": reservation.usd,
                "reserved_tokens": reservation.tokens,
                "settled": False,
                "usd": None,
                "input_tokens": 0,
                "output_tokens": 0,
            }
            if not transaction.insert_new(_SPEND, values):
                raise InternalError(f"reservation {reservation.id} was made before")

        await self._do(work, full=True)

    def settle(self, settlement: Settlement) -> None:
        def work(transaction: Transaction) -> None:
            used = settlement.used
            values = {"usd": used.usd, "input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
            settled = {"of_call": settlement.id, "settled": True, **values}
            reserved = transaction.connection.execute(_SETTLING, settled).one_or_none()
            if reserved is not None:
                transaction.add_to(_SPENT, _totals_of(reserved, used))
            elif (
                transaction.connection.execute(select(_SPEND.c.id).where(_SPEND.c.id == settlement.id)).scalar() is None
            ):
                raise InternalError(f"settlement of {settlement.id}, which was never reserved")

        self._writer.post(work)

    def warn(self, name: str, study: str, text: str) -> None:
        values = {"id": name, "study": study, "text": text, "made": now()}
        self._writer.post(lambda transaction: transaction.insert_new(table_of(WarningRow), values))

    def _under(self, conditions: Conditions) -> dict[str, Any]:
        """The parameters of `_MADE` and `_SAME`."""
        answered = [self._cleaner.text(name) for name in conditions.answered]
        return {"of_concurrency": conditions.concurrency, "of_images": list(conditions.images), "of_answered": answered}

    async def _do(self, work: Work, *, full: bool = False) -> Any:
        stored = self._writer.submit(work, full=full)
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # it was stopped, and clears up
            self._writer.hurry(stored)
        try:
            return await asyncio.wrap_future(stored)
        except asyncio.CancelledError:
            self._writer.hurry(stored)
            raise

    def _trajectory(self, transaction: Transaction, owner: str) -> OwnerSteps:
        known = self._trajectories.get(owner)
        if known is None:
            # A proposal session goes on after a restart: its steps are counted on from where they ended.
            steps = table_of(Step)
            transaction.flush()
            last = transaction.connection.execute(
                select(func.max(steps.c.index)).where(steps.c.owner == owner)
            ).scalar()
            known = self._trajectories[owner] = OwnerSteps(next_index=0 if last is None else last + 1)
        return known

    def _model(self, row: SQLModel) -> dict[str, Any]:
        return self._cleaner.row(row.model_dump())


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text_of_call(call: ModelCallData, data: Mapping[str, Any], trajectory: OwnerSteps) -> str:
    """What search finds of a model call: the reply, and what the model was told for the first time.

    A reply that comes back as a message of the next call has been found at its own step, and so has a command's output.
    """
    first = data["base"] is None
    new = [message for message in call.messages[data["keep"] :] if first or message.role != "assistant"]
    told = ["\n".join(filter(None, [trajectory.untold(message.text), *map(str, message.images)])) for message in new]
    return "\n".join(filter(None, [codec.completion_text(call.completion), call.system if first else "", *told]))


def totals(used: Used) -> dict[str, Any]:
    """The columns of a trial that say what its calls used."""
    return {
        "model_calls": used.calls,
        "refused_calls": used.refused,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_tokens": used.cached_tokens,
        "cost_usd": used.usd,
    }


def saved(replayed: Replayed | None) -> dict[str, Any]:
    """The columns of a trial that say what a record spared."""
    if replayed is None:
        return {}
    return {
        "recorded_trial": replayed.trial,
        "touch": replayed.touch,
        "saved_calls": replayed.saved.calls,
        "saved_tokens": replayed.saved.tokens,
        "saved_usd": replayed.saved.usd,
        "saved_seconds": replayed.seconds,
        "ran_whole": replayed.whole,
    }


def _totals_of(reserved: Row[tuple[str, str, float | None]], used: Used) -> dict[str, Any]:
    """What a settled call adds to its study's totals."""
    known = reserved.reserved_usd if used.usd is None else used.usd
    return {
        "study": reserved.study,
        "role": reserved.role,
        "usd": known or 0.0,
        "tokens": used.tokens,
        "unknown": int(used.usd is None),
        "calls": 1,
        "input_tokens": used.input_tokens,
        "cached_tokens": used.cached_tokens,
    }
