"""Serves one trial's calls from a record until its harness asks for something else; from there on all is live.

The task's sandbox is a fresh one. Each command and each file that is answered from the record is run again in it as it is
asked for, so it is always in step, and its answer is compared (`alike`). What cannot go on from the record raises
`PartedFromRecord`: the trial is then run whole, from the start. Nothing here decides which trials are answered from which record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lorimer.harness import api
from lorimer.models.base import ModelReply, ModelRequest
from lorimer.task_agent.limits import ActiveClock
from lorimer.task_agent.matching import SANDBOX, Parted, RecordedScript, ShadowPlace
from lorimer.task_agent.paired.alike import apart, names_one
from lorimer.task_agent.paired.carried import Carried, CarriedPart
from lorimer.traces import wired
from lorimer.traces.schema import NOTHING, Replayed, Used
from lorimer.traces.wired import AnsweredCall
from lorimer.wording import quoted


class PartedFromRecord(Exception):
    """The trial cannot go on from its record. The message is a clause for people."""


@dataclass(frozen=True)
class ClockTold:
    """What the jail's clock is told with an answer."""

    seconds: float
    """Since the harness began, as it sees it."""
    live: bool
    """Whether it goes by itself from now on."""


class RecordReplay:
    """One trial's record as it is served."""

    def __init__(self, record: Carried) -> None:
        self._record = record
        self._parts = iter(record.parts)
        self._script, self._place = RecordedScript(()), ShadowPlace()
        self._taken: dict[int, AnsweredCall] = {}
        self._waited = 0.0
        self._wall = ActiveClock()
        self._heard_out = False
        self._stale: frozenset[str] = frozenset()
        self._touch: int | None = None
        self._saved, self._seconds = NOTHING, 0.0

    @property
    def live(self) -> bool:
        """Whether the record is left behind."""
        return self._touch is not None

    @property
    def models(self) -> tuple[str, ...]:
        """The models that answered in the record."""
        return self._record.models

    def told(self, *, whole: str = "") -> Replayed:
        """What came of it. A trial that must be run `whole` has saved nothing."""
        if whole:
            return Replayed(self._record.trial, self._touch, whole=whole)
        return Replayed(self._record.trial, self._touch, self._saved, self._seconds)

    def begin(self) -> CarriedPart | None:
        """The next part of the task begins; returns what the record has of it, as long as the trial follows the record."""
        part = None if self.live else next(self._parts, None)
        self._script, self._place = RecordedScript(part.calls if part else ()), ShadowPlace()
        self._waited, self._wall = 0.0, ActiveClock()
        return part

    def asked(self, number: int, request: wired.WireRequest) -> None:
        """A call came in. To be told in order of issue.

        Args:
            number: the call's, from 0, over all parts of the trial.
        """
        if self.live:
            return
        step = self._script.ask(self._place, request.key, wired.method_of(request))
        if isinstance(step, Parted):
            self._touch = number + 1
            return
        self._place, index = step
        call = self._script.calls[index]
        if call.method == "finish":
            return
        refused = call.answer.code if isinstance(call.answer, wired.RefusedCall) else ""
        if call.answer is None or refused == "limit":
            self._touch = number + 1  # the record holds no answer to it that would be one here
        elif refused != "invalid":  # what is wrong with a request is found anew
            self._taken[number] = call

    def recorded(self, number: int) -> AnsweredCall | None:
        """The recorded call that answers this one; `None` where it is live."""
        return self._taken.get(number)

    def answered(self, call: AnsweredCall, clock: ActiveClock) -> None:
        """A recorded answer is given: it is as late as it was then."""
        self._waited += call.waited
        clock.reach(call.answered - self._waited)
        self._wall.reach(call.answered)

    def moment(self, number: int) -> ClockTold:
        """What the jail's clock is told with the answer to this call."""
        call = self._taken.get(number)
        return ClockTold(self._wall.seconds(), live=self.live) if call is None else ClockTold(call.answered, live=False)

    # ---- model calls

    def spare(self, call: AnsweredCall, completion: api.Completion, refused: int) -> Used:
        """A model call is answered from the record; returns what it used then."""
        usage = completion.usage
        used = Used(1, usage.input_tokens, usage.output_tokens, usage.cached_tokens, call.usd, refused)
        self._saved += used
        self._seconds += call.answered - call.asked - call.waited
        return used

    def heard(self, request: ModelRequest, reply: ModelReply) -> None:
        """A live model call has come back. Raises PartedFromRecord."""
        if self._saved.calls == 0:
            return
        if reply.answered and self.models and reply.answered not in self.models:
            raise PartedFromRecord(f"{reply.answered} answers, where {', '.join(self.models)} did in the record")
        if reply.completion.stop_reason == "rejected" and self.in_doubt(request):
            words = reply.completion.error or reply.completion.text
            raise PartedFromRecord(f"the provider does not take the recorded answers back: {quoted(words)}")
        self._heard_out = self._heard_out or _goes_on(request)

    def in_doubt(self, request: ModelRequest) -> bool:
        """Whether a request holds recorded answers, and the provider has not taken any yet: some keep what they said to
        themselves, and take it back from nobody else."""
        return self._saved.calls > 0 and not self._heard_out and _goes_on(request)

    # ---- the sandbox

    @contextmanager
    def rebuilding(self, clock: ActiveClock) -> Iterator[None]:
        """A recorded command is run again: what time that takes is nobody's."""
        with clock.stopped(), self._wall.stopped():
            yield

    def about_to(self, request: wired.WireRequest) -> None:
        """The sandbox is asked for something. Raises PartedFromRecord where that is not there any more."""
        if self._stale and (name := names_one(request, self._stale)):
            raise PartedFromRecord(f'it names "{name}", which a command said in the record and says no more')

    def compare(self, number: int, request: wired.WireRequest, now: wired.Answer) -> None:
        """A recorded command was run again. Raises PartedFromRecord."""
        answer = self._taken[number].answer
        assert answer is not None
        why, stale = apart(answer, now)
        if why:
            raise PartedFromRecord(f"{_called(request)} at step {number + 1}: {why}")
        self._stale |= stale


def _goes_on(request: ModelRequest) -> bool:
    return any(message.role == "assistant" for message in request.messages)


def _called(request: wired.WireRequest) -> str:
    said = wired.plain(request).splitlines()[0]
    return f"`{said[:60]}…`" if len(said) > 60 else f"`{said}`"


__all__ = ["SANDBOX", "ClockTold", "PartedFromRecord", "RecordReplay"]
