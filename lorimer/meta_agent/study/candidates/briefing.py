"""What the meta-agent is given at the start of a session.

Whatever a session may ask for is fixed here, while it is made: functions that know which trials, tasks and experiments they
are about, and take no others. The store itself is not handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lorimer.harness.lint import lint
from lorimer.kinds import StepKind
from lorimer.meta_agent.proposer.cases import OWN_WORDS, Case, CaseCall, CasePlace, Cases, CaseStep, Recorded
from lorimer.meta_agent.proposer.dead_ends import EarlierExperiment
from lorimer.meta_agent.state.descent import edit_of
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.candidates.steering import in_vain
from lorimer.task_agent.causes import Cause
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import StepOutline, StepPlace
from lorimer.traces.tables import Step, Trial
from lorimer.wording import count

if TYPE_CHECKING:
    from lorimer.meta_agent.ledger.experiments import Ledger


def cases_of(reader: StudyReader, study: str, trials: Sequence[tuple[str, Trial]]) -> Cases:
    """The cases of a session: scored trials of train tasks with their names (`trials.named_trials`)."""
    owners = {name: trial.id for name, trial in trials}
    tasks = [task.id for task in reader.tasks(study, "train")]
    return Cases(tasks, [_case(name, trial) for name, trial in trials], _recorded(reader, owners))


def why_another(world: World, number: int, base: str, trials: Sequence[tuple[str, Trial]]) -> str:
    """What the session of candidate `number` is told where its edit is not one of the champion; "" where it is.

    Args:
        trials: its cases.
    """
    edited = edit_of(world, number, base)
    if not edited:
        return ""
    champion = f"the champion ({short(world.champion.number) if world.champion else 'the seed harness'})"
    theirs = list(dict.fromkeys(trial.task for _, trial in trials if trial.harness != base))
    tried = count(in_vain(world, world.round_of(number)), "edit")
    said = (
        f"agent.py is not {champion} this time. It is {edited}: since the last promotion {tried} came to "
        "nothing, so the search goes on from another harness. Your edit is one of this agent.py, and what comes of it must "
        f"beat {champion}. The trials are those of this agent.py"
    )
    return f"{said}, but of the champion on tasks where it has none: {', '.join(theirs)}." if theirs else f"{said}."


def earlier(ledger: Ledger) -> tuple[EarlierExperiment, ...]:
    """The experiments that were made, each with why it ended as it did, in the words of the log."""
    return tuple(
        EarlierExperiment(
            number=entry.number,
            title=entry.title,
            state=entry.state,
            reason=entry.came_of,
            harness=entry.harness,
            parent=entry.parent,
            hunks=entry.hunks,
            kind=entry.kind,
            promising=entry.promising,
        )
        for entry in ledger.entries
        if entry.state != "proposing"
    )


def knowledge(reader: StudyReader, study: str) -> Callable[[str, str], list[str]]:
    """The contamination lint over all tasks of the study: given an edited harness and the one before it, it says what the edit
    knows of them. Of tasks that are not for training (holdout, test, canaries) it says no more than that the edit knows one.
    """
    tasks = reader.tasks(study)
    train = [(task.id, task.instruction) for task in tasks if task.split == "train"]
    sealed = [(task.id, task.instruction) for task in tasks if task.split != "train"]

    def known(text: str, parent: str) -> list[str]:
        return lint(text, parent=parent, tasks=train, sealed=sealed)

    return known


def _case(name: str, trial: Trial) -> Case:
    cause = Cause(trial.cause)
    return Case(
        name=name,
        task=trial.task,
        reward=trial.reward or 0.0,
        cause=cause,
        detail=trial.detail if cause in OWN_WORDS else "",
        answer=trial.answer,
        model_calls=trial.model_calls,
        tokens=trial.tokens,
        usd=trial.cost_usd,
    )


def _recorded(reader: StudyReader, owners: Mapping[str, str]) -> Recorded:
    """What happened in the trials of `owners`, which are by the names of their cases."""
    names = {owner: name for name, owner in owners.items()}

    order = list(owners.values())
    searching = reader.searching(order)

    def steps(case: str, first: int, last: int) -> list[CaseStep]:
        return [
            _step(reader, row, kind)
            for row in reader.steps(owners[case], first, last)
            if (kind := StepKind(row.kind)) is not StepKind.VERDICT
        ]

    def outlines(cases: Sequence[str]) -> dict[str, list[StepOutline]]:
        found = reader.outlines([owners[case] for case in cases])
        return {names[owner]: steps for owner, steps in found.items()}

    def find(words: str) -> list[CasePlace]:
        return [CasePlace(names[place.owner], place.index, place.kind) for place in searching.find(words)]

    def snippets(words: str, places: Sequence[CasePlace]) -> list[str]:
        return searching.snippets(words, [StepPlace(owners[each.case], each.index, each.kind) for each in places])

    return Recorded(steps, outlines, find, snippets)


def _step(reader: StudyReader, row: Step, kind: StepKind) -> CaseStep:
    if kind is not StepKind.MODEL_CALL:
        return CaseStep(row.index, kind, row.data)
    added = reader.added(row)
    call = CaseCall(row.data["base"] is None, added.system or "", added.messages, added.completion)
    return CaseStep(row.index, kind, {}, call)
