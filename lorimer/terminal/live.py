"""What a study looks like in a terminal: two live lines on a TTY, plain lines elsewhere, JSON lines for programs.

Everything goes through `Terminal`; the loop and the rooms below it print nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from lorimer.kinds import MADE_BY
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.workspace.events import (
    BranchDiffers,
    BudgetUsed,
    BudgetWarning,
    Decided,
    Event,
    HarnessNoted,
    ImageReady,
    LittleToWin,
    ModelNoted,
    NotifyFailed,
    ProgramChanged,
    Promoted,
    ProposalFailed,
    Proposed,
    Proposing,
    SettingChanged,
    StageFinished,
    StageStarted,
    StudyEnded,
    TrialFinished,
    VerifierNoted,
)
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.terminal.hangup import lasting
from lorimer.terminal.here import from_here
from lorimer.terminal.pace import StagePace, StagesUnderWay, StudyPace, TokenPace
from lorimer.terminal.screen import Screen, fitted
from lorimer.terminal.words import cost, duration, left_of, left_text, plain, score_text
from lorimer.traces.schema import Stage
from lorimer.traces.settings import shown
from lorimer.wording import count, first_names

Mode = Literal["live", "plain", "quiet", "json"]

PLAIN_SECONDS = 10.0
"""The pause between two progress lines where there is no TTY: often enough to see life, seldom enough for a night's log."""

BAR_CHARS = 24
"""The widest bar: a longer one tells nothing more."""
LEAST_BAR = 4
"""The narrowest: what says how fast tokens arrive must leave room for it."""

SLOW_IMAGES = 1.0
"""Seconds from which making images ready is worth a line at its end: finding a hundred that are there takes less."""


def choose_mode(*, quiet: bool, as_json: bool, stream: TextIO | None = None) -> Mode:
    """How to show progress, from the options and from whether anybody watches."""
    if as_json:
        return "json"
    if quiet:
        return "quiet"
    return "live" if (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb" else "plain"


class Terminal:
    """A `Progress` that draws. Used as a context manager; safe to leave at any time.

    Args:
        stream: where to; standard output where not given.
        workspace: where the commands that are named shall work.
        plain_seconds: between two progress lines of mode `plain`.
    """

    def __init__(
        self,
        mode: Mode,
        stream: TextIO | None = None,
        *,
        workspace: Path | None = None,
        plain_seconds: float = PLAIN_SECONDS,
    ) -> None:
        self.study: str | None = None
        """The study that is run: `None` until one has begun, "" until its name is told."""
        self.finished = False
        """Whether it has run to its end."""
        self._workspace = workspace
        self._mode, self._stream, self._plain_seconds = mode, lasting(stream or sys.stdout), plain_seconds
        self._screen: Screen | None = None
        self._asked = set[str]()
        """The candidates for which the meta-agent is at work."""
        self._told, self._proposed = "", set[str]()
        """The candidate whose lines come last, and those that may have more: the stages of a round come after its proposals."""
        self._stages = StagesUnderWay()
        self._study, self._tokens = StudyPace(time.monotonic), TokenPace(time.monotonic)
        self._used: BudgetUsed | None = None
        self._said_at = 0.0
        self._images, self._images_said_at, self._largest_image = "", 0.0, 0

    def __enter__(self) -> Self:
        if self._mode == "live":
            self._screen = Screen(self._stream, self._lines)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    # ---- events -------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, StudyEnded):
            self.study, self.finished = event.study, event.state == "finished"
        elif isinstance(event, BudgetUsed) and self.study is None:
            self.study = ""  # every study tells this first, once it is stored
        if self._mode == "json":
            self._write(json.dumps({"event": type(event).__name__, **plain(_sealed(event))}))
            return
        match event:
            case StageStarted():
                self._stage_began(event)
            case TrialFinished():
                self._trial_ended(event)
            case ImageReady():
                self._image(event.report)
            case StageFinished():
                self._stage_ended(event)
            case Proposing() | Proposed() | ProposalFailed():
                self._proposal(event)
            case Decided():
                self._decided(event)
            case Promoted():
                self._promoted(event)
            case BudgetUsed():
                self._used = event
            case BudgetWarning():
                self.say(f"warning: {event.percent}% of {event.bound.key} is used; {left_of(event.bound)} left")
            case SettingChanged():
                self.say(f"{event.key} changed from {shown(event.before)} to {shown(event.after)}")
            case ProgramChanged():
                self.say(f"{event.candidate}: {event.said}")
            case BranchDiffers() | LittleToWin() | ModelNoted() | VerifierNoted() | HarnessNoted() | NotifyFailed():
                self.say(f"warning: {event.said}")
            case StudyEnded():  # the command's own result says how it ended
                self._asked.clear()
                self._stages.running.clear()
                self._draw()

    def on_wait(self, seconds: float, why: str) -> None:
        """A provider, an engine or a verifier is asked again after this; with 0 seconds a request waits `for` something else."""
        if self._mode == "json":
            self._write(json.dumps({"event": "Waiting", "seconds": round(seconds, 1), "why": why}))
        elif self._mode != "quiet":
            self.say(f"  waiting {duration(seconds)} before asking again: {why}" if seconds else f"  waiting {why}")

    def on_tokens(self, tokens: float) -> None:
        """Tokens of a streamed answer have arrived. The screen draws by itself twice a second."""
        self._tokens.add(tokens)

    def say(self, line: str) -> None:
        """One line, above those that are live. Nothing in quiet and JSON modes."""
        if self._mode in ("quiet", "json"):
            return
        line = from_here(line, self._workspace)
        if self._screen is not None:
            self._screen.above(line)
        else:
            self._write(line)

    # ---- what is said of an event ---------------------------------------------------------------------------------

    def _stage_began(self, event: StageStarted) -> None:
        label = f"baseline {event.stage}" if event.number is None else f"{short(event.number)} {event.stage}"
        if event.stage is Stage.BASELINE:
            label = "baseline"
        now = time.monotonic()
        self._stages.running[event.evaluation] = StagePace(label, event.stage, event.planned, event.finished, now)
        self._said_at = time.monotonic()
        self._draw()

    def _trial_ended(self, event: TrialFinished) -> None:
        outcome = event.outcome
        stage = self._stages.of(outcome)
        if stage is None:
            return
        stage.finished += 1
        stage.ran += 1
        sealed = outcome.planned.stage is Stage.HOLDOUT
        if not sealed:
            stage.outcomes.append(outcome)
        now = time.monotonic()
        if self._mode == "plain" and now - self._said_at >= self._plain_seconds:
            self._said_at = now
            said = "sealed" if sealed else score_text(stage.score)
            times = f"stage {_time(stage.left(now))} left, study {_time(self._study_left())} left"
            self.say(f"  {stage.label}: {stage.finished}/{stage.planned} trials  {said}  {self._cost()}  {times}")
        self._draw()

    def _stage_ended(self, event: StageFinished) -> None:
        self._stages.running.pop(event.evaluation, None)
        self._draw()
        self._name(event.subject)
        said = "sealed" if event.score is None else score_text(event.score)
        self.say(f"  {event.stage:8} {said}  {self._cost()}")

    def _proposal(self, event: Proposing | Proposed | ProposalFailed) -> None:
        """The meta-agent is at work on a candidate, or has come to an end with it."""
        if isinstance(event, Proposing):
            self._study.candidate(event.number, event.of, event.round)
            self._asked.add(event.candidate)
            self._draw()
            return
        self._asked.discard(event.candidate)
        self._draw()
        if isinstance(event, ProposalFailed):
            self.say(f"{event.candidate}: no usable edit: {event.reason}")
            return
        self._told = event.candidate
        self._proposed.add(event.candidate)
        made = MADE_BY.get(event.origin, "")
        self.say(f"{event.candidate}: {event.title}{f' ({made})' if made else ''}")
        self.say(f"  {event.hypothesis}")
        if event.touches:
            self.say(f"  {event.touches}")

    def _decided(self, event: Decided) -> None:
        if event.decision.kind == "pass" and event.decision.numbers.get("score") is not None:
            return  # a measuring stage that went well decides nothing: its score has just been said
        self._name(event.candidate)
        said = "; ".join(filter(None, (event.decision.reason, event.conditions)))
        self.say(f"  {event.stage:8} {said}")

    def _promoted(self, event: Promoted) -> None:
        self._proposed.discard(event.candidate)
        where = f"commit {event.commit[:10]}" if event.commit else "kept in the store alone, not committed"
        self.say(f"  promoted {score_text(event.score)}  {where} {event.note}".rstrip())

    def _image(self, report: ImageReport) -> None:
        """A line for what cannot be had, and one now and then while there is something to wait for."""
        names = first_names(report.tasks, 1)
        if report.problem:
            self.say(f"  no image for {names}: {report.problem}")
        size = "" if report.bytes is None else f", {names} has {report.bytes / 1e9:.2f} GB"
        said = f"images {report.done}/{report.of}, {duration(report.seconds)}{size}"
        waits = report.done < report.of
        self._images = said if waits else ""
        if self._mode == "plain" and waits and self._plain_seconds <= report.seconds - self._images_said_at:
            self._images_said_at = report.seconds
            self.say(f"  {said}")
        self._draw()
        self._largest_image = max(self._largest_image, report.bytes or 0)
        if report.done == report.of:
            if report.seconds >= SLOW_IMAGES:
                largest = f", the largest {self._largest_image / 1e9:.2f} GB" if self._largest_image else ""
                self.say(f"  {count(report.of, 'image')} in {duration(report.seconds)}{largest}")
            self._images_said_at, self._largest_image = 0.0, 0

    def _name(self, candidate: str) -> None:
        """Name the candidate whose lines follow, where the last ones were another's: of a round several are at work."""
        if candidate in self._proposed and candidate != self._told:
            self._told = candidate
            self.say(candidate)

    # ---- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._screen is not None:
            self._screen.draw()

    def _lines(self, width: int) -> list[str]:
        """What a watched terminal shows at its bottom: the stage, and the study."""
        now, study, used = time.monotonic(), self._study, self._used
        number = f"candidate {study.number}" + (f" of {study.of}" if study.of else "") if study.number else ""
        total = [
            number,
            self._dollars(),
            f"study {_time(self._study_left())} left",
            f"{_time(now - study.began)} so far",
        ]
        total += [left_text(used.left)] if used is not None and used.left else []
        stages = list(self._stages.running.values())
        if not stages or self._images:
            work = self._images or ("reading traces" if self._asked else "at work")
            return [fitted([work, self._arriving()], width), fitted(total, width)]
        shown = stages[0].score
        known = "" if math.isnan(shown.mean) else f"{shown.mean:.3f} [{shown.low:.2f}, {shown.high:.2f}]"
        known += f" ({shown.refused})" if known and shown.refused else ""
        finished, planned = self._stages.finished, self._stages.planned
        # Scores of several harnesses have no sum.
        said = [self._stages.label, f"{finished}/{planned}", known if len(stages) == 1 else ""]
        line = fitted([*said, f"stage {_time(self._stages.left(now))} left"], width)
        arriving = self._arriving()
        if arriving and len(line) + 2 + len(arriving) + 2 + LEAST_BAR <= width:
            line += f"  {arriving}"
        room = min(BAR_CHARS, width - len(line) - 2)
        if room >= LEAST_BAR:
            full = room * min(finished, planned) // max(planned, 1)
            line += "  " + "#" * full + "-" * (room - full)
        return [line, fitted(total, width)]

    def _arriving(self) -> str:
        """`120 tokens/s`, while streamed answers arrive."""
        rate = self._tokens.each_second()
        return "" if rate <= 0 else f"{rate:,.0f} tokens/s" if rate >= 1 else "<1 tokens/s"

    def _study_left(self) -> float | None:
        """Seconds; a study cannot end before its stage does."""
        study = self._study.left(self._used.left if self._used is not None else ())
        stage = self._stages.left(time.monotonic())
        return study if study is None else max(study, stage or 0.0)

    def _cost(self) -> str:
        """What the study has used, and what is left."""
        used = self._used
        return f"{self._dollars()}, {left_text(used.left)}" if used is not None and used.left else self._dollars()

    def _dollars(self) -> str:
        used = self._used
        if used is None:
            return cost(0.0, 0)
        saved = f" (saved {cost(used.saved.known_usd, used.saved.unknown)})" if used.saved.trials else ""
        return cost(used.known_usd, used.unknown) + saved

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _sealed(event: Event) -> Event:
    """The event without what a trial of the holdout gave: whoever watches may steer by it."""
    if isinstance(event, TrialFinished) and event.outcome.planned.stage is Stage.HOLDOUT:
        return TrialFinished(dataclasses.replace(event.outcome, reward=None, detail=""))
    return event
