"""What the store tells of a grid: each search, and the whole. It reads, and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorimer.config.settings import Config
from lorimer.errors import UserError
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.pairings import analysis
from lorimer.meta_agent.pairings.spec import PlannedSearch, SearchBudget, Sizes, Spec, share_of
from lorimer.meta_agent.pairings.values import GridResult, Search, Tally, Transfer
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.world import World, scan
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage


def reported(reader: StudyReader, spec: Spec, config: Config) -> GridResult:
    """The grid as it stands, where nothing is run. Raises UserError where none of its searches has begun."""
    found = sizes(reader, spec)
    if found is None:
        raise UserError(f"no search of the grid {spec.name} has begun here", "`lorimer compare` begins one")
    return collected(reader, spec, share_of(spec, config, found), config.study.seed)


def sizes(reader: StudyReader, spec: Spec) -> Sizes | None:
    """The sizes of the split that the grid's searches have; `None` where none has begun."""
    there = {study.id for study in reader.studies()}
    first = next((each.study for each in spec.plan if each.study in there), None)
    if first is None:
        return None
    return Sizes(len(reader.tasks(first, split="train")), len(reader.tasks(first, split="holdout")))


def collected(reader: StudyReader, spec: Spec, share: SearchBudget, seed: int) -> GridResult:
    """The grid as the store has it now, finished or not."""
    there = {study.id: study for study in reader.studies()}
    searches = tuple(
        search_of(reader, planned)
        if planned.study in there
        else Search(planned.pairing, planned.number, planned.study, "planned")
        for planned in spec.plan
    )
    tasks, left_out = analysis.shared_tasks(searches)
    benchmark = next((there[each.study].benchmark for each in searches if each.study in there), "")
    return GridResult(
        name=spec.name,
        benchmark=benchmark,
        simulated=any(model.startswith("simulated/") for model in (*spec.task, *spec.meta)),
        unit=share.unit,
        each=share.each,
        tasks=tasks,
        left_out=left_out,
        searches=searches,
        cells=analysis.cells_of(searches, seed),
        contrast=analysis.contrast(searches, seed),
        transfers=_transfers(reader, spec, frozenset(there)) if spec.transfer else (),
    )


def search_of(reader: StudyReader, planned: PlannedSearch) -> Search:
    """One search. Raises UserError where its study is not there."""
    row, world = reader.study(planned.study), scan(reader, planned.study)
    entries = experiments.read(reader, world, int(row.config["retries"]["errored"])).entries
    made = [entry for entry in entries if entry.state != "proposing"]
    tested = [entry for entry in made if any(verdict.stage == Stage.FULL for verdict in entry.verdicts)]
    fired = [each for entry in made if entry.state == "promoted" and entry.fired for each in entry.fired.tasks.values()]
    spent = reader.spent(planned.study)
    return Search(
        pairing=planned.pairing,
        number=planned.number,
        study=planned.study,
        state=row.state,
        reason=row.state_reason,
        gains=sealed_gains(reader, world, finished=row.state == "finished"),
        candidates=len(made),
        promoted=len(world.promoted),
        first=world.promoted[0].number if world.promoted else None,
        predictions=Tally(
            sum(len(set(entry.fixes) & set(entry.fixed)) for entry in tested),
            sum(len(set(entry.fixes)) for entry in tested),
        ),
        fired=Tally(sum(count for count, _ in fired), sum(told for _, told in fired)),
        usd=spent.usd,
        tokens=spent.tokens,
        trials=spent.trials,
    )


def sealed_gains(reader: StudyReader, world: World, *, finished: bool) -> Mapping[str, float] | None:
    """The champion's gain on each sealed task, by trials that decided nothing; `None` while that is not known."""
    if not finished:
        return None
    if world.champion is None:
        return dict.fromkeys(world.holdout, 0.0)
    if world.sealed_score is None:
        return None
    seed, champion = (means(reader, [name]) for name in world.sealed_by)
    return {task: champion[task] - seed[task] for task in world.holdout if task in seed and task in champion}


def means(reader: StudyReader, evaluations: Sequence[str]) -> dict[str, float]:
    """Each task's mean reward over the scored trials of these evaluations."""
    last = {(name, task, repeat): reward for name, task, repeat, reward in reader.scored(evaluations)}
    found: dict[str, list[float]] = {}
    for (_, task, _), reward in last.items():
        found.setdefault(task, []).append(reward)
    return {task: sum(rewards) / len(rewards) for task, rewards in found.items()}


def _transfers(reader: StudyReader, spec: Spec, there: frozenset[str]) -> tuple[Transfer, ...]:
    before = {
        model: means(
            reader,
            [
                evaluation_id(each.study, About("", Stage.HOLDOUT))
                for each in spec.plan
                if each.pairing.task == model and each.study in there
            ],
        )
        for model in spec.task
    }
    found = []
    for planned in spec.plan:
        for model in spec.task:
            name = spec.transfer_name(planned, model)
            if name not in there or reader.study(name).state != "finished":
                continue
            after = means(reader, [evaluation_id(name, About("", Stage.BASELINE))])
            both = [task for task in after if task in before[model]]
            if both:
                gain = sum(after[task] - before[model][task] for task in both) / len(both)
                found.append(Transfer(planned.study, planned.pairing, model, gain, len(both)))
    return tuple(found)
