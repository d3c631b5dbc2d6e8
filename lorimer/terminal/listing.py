"""What `status`, `studies` and `log` show: values read from the store, and their text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import PrerequisiteError, UserError
from lorimer.kinds import MADE_BY, NONE_REFUSED, Refused
from lorimer.meta_agent.gate.reported.drift import Drift
from lorimer.meta_agent.gate.reported.false_promotions import FalsePromotions
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.ledger import experiments, gain_price
from lorimer.meta_agent.ledger.conditions import differing
from lorimer.meta_agent.ledger.drifting import drift_of
from lorimer.meta_agent.ledger.gain_price import GainPrice
from lorimer.meta_agent.ledger.refusals import Refusals, refusals
from lorimer.meta_agent.ledger.trust import Trust, trust
from lorimer.meta_agent.reports.ab import ab
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.state.descent import edit_of
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.result import at_first, result_of, sealed_scores, total
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates.strategies import base
from lorimer.meta_agent.study.people.beside import departed
from lorimer.meta_agent.workspace.caching import CacheUse, cache_use
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.terminal.ab import verdict
from lorimer.terminal.words import cost, for_the_test, left_of, score_text, table
from lorimer.traces import chain
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import alive
from lorimer.wording import count, minute

if TYPE_CHECKING:
    from lorimer.task_agent.budget import Allowance
    from lorimer.traces.schema import Saved, Share


@dataclass(frozen=True)
class Status:
    """Where a study stands."""

    study: str
    kind: str
    state: str
    reason: str
    benchmark: str
    task_model: str
    meta_model: str
    train: int
    holdout: int
    test: int
    answer: str
    """What a comparison of two files came to; "" of a study of another kind."""
    baseline: Score | None
    """The seed harness's, over all trials that stand for it."""
    baseline_first: Score | None
    """Over the trials that it began with alone; `None` where no others stand for it."""
    champion: Score | None
    champion_candidate: str
    refusal: str
    """What the provider said to a call that it refused, and in which trial; "" where it refused none of theirs."""
    price: GainPrice | None
    """The price of the champion's gain over the seed harness, for all that the study spent; `None` where there is none."""
    conditions: tuple[str, ...]
    """What differed between the arms of the newest candidate's comparisons, each after its stage."""
    gain: MadeOf | None
    """What the champion's gain over the seed harness is made of; `None` of a study that tries no candidates."""
    candidates: Mapping[str, int]
    """How many are in each state."""
    origins: Mapping[str, int]
    """How many each has made: the meta-agent (`meta`), persons (`human`), lorimer by taking something out (`pruning`)."""
    refused_edits: Refusals
    """Edits that were refused before anything was paid for them."""
    edits_of: str
    """Which harness is edited now or next, where that is not the champion."""
    touches: str
    """Which recorded trials the newest candidate's edit touches, after its name; "" where that was not worked out."""
    luck: FalsePromotions
    """How many false promotions to expect so far."""
    drift: Drift | None
    """How the same harnesses score late in the study against early; `None` where no champion was run at two times."""
    sealed: tuple[Score, Score] | None
    """What the champion and the seed harness scored on the holdout when the study ended; `None` before, and where neither was run
    there once more."""
    holdout_queries: int
    """How often the holdout has answered."""
    trials: int
    tokens: int
    usd: float | None
    """`None` where the price of any call is unknown."""
    known_usd: float
    """Dollars of the calls whose price is known."""
    unpriced_calls: int
    meta: Share
    """What the meta-agent took of it."""
    saved: Saved
    """What records answered, which was not spent."""
    cache: CacheUse
    """What was read from providers' caches, and what was lost there."""
    requests: tuple[str, ...]
    """What holds back the model requests of the process that runs it, a line for each provider."""
    left: tuple[Allowance, ...]
    """Every bound of the budget that is set, candidates included."""
    changed: tuple[str, ...]
    """Settings that a resume changed, from what to what, in order."""
    warnings: tuple[str, ...]
    """Budget warnings that were given."""
    trust: Trust
    """What speaks against the results."""
    branch: str
    """What the workspace's branch holds in place of the champion, and what follows; "" where it holds the champion."""


def status(reader: StudyReader, study: StudyRow, root: Path) -> Status:
    """Read the status of a study of the workspace at `root`."""
    from lorimer.meta_agent.ledger.bounds import bounds_of

    world = scan(reader, study.id)
    found = result_of(reader, world, study)
    tasks, spent = reader.tasks(study.id), reader.spent(study.id)
    gain = gain_of(reader, world, study)
    state, reason = state_of(study)
    return Status(
        study=study.id,
        kind=study.kind,
        state=state,
        reason=reason,
        benchmark=study.benchmark,
        task_model=study.task_model,
        meta_model=study.meta_model,
        train=sum(task.split == "train" for task in tasks),
        holdout=sum(task.split == "holdout" for task in tasks),
        test=sum(task.split == "test" for task in tasks),
        answer=verdict(ab(reader, study.id)) if study.kind == "ab" and world.candidates else "",
        baseline=found.baseline,
        baseline_first=found.baseline_first,
        champion=found.final,
        champion_candidate=found.champion_candidate,
        refusal=found.refusal,
        price=gain_price.of_study(gain, spent),
        conditions=_conditions(reader, world),
        gain=gain,
        candidates=found.candidates,
        origins=dict(Counter(each.origin for each in world.candidates)),
        refused_edits=refusals(world.candidates),
        edits_of=_edits_of(study, world),
        touches=_touches(world),
        luck=experiments.luck(reader, world),
        drift=drift_of(reader, world),
        sealed=sealed_scores(reader, world) if told(study) else None,
        holdout_queries=world.holdout_queries,
        trials=spent.trials,
        tokens=spent.tokens,
        usd=spent.usd,
        known_usd=spent.known_usd,
        unpriced_calls=spent.unknown,
        meta=spent.meta,
        saved=spent.saved,
        cache=cache_use(study, spent, reader.cache_breaks),
        requests=requests_of(study),
        left=bounds_of(study, world, spent),
        changed=tuple(map(str, chain.setting_changes(reader.chain(study.id, "settings"), study.id))),
        warnings=tuple(row.text for row in reader.warnings(study.id)),
        trust=trust(reader, study.id),
        branch=_branch(reader, study, world, root),
    )


def requests_of(study: StudyRow) -> tuple[str, ...]:
    """What holds back the model requests of the process that runs a study, a line for each provider."""
    if state_of(study)[0] != "running" or not study.holder:
        return ()
    from lorimer.models.flow.told import limits

    return tuple(limits(study.holder, time.time()))


def _edits_of(study: StudyRow, world: World) -> str:
    from lorimer.config.settings import parse_stored

    if study.kind != "optimize" or study.state == "finished":
        return ""
    made = world.open
    if made is not None and not made.follows:
        return edit_of(world, made.number, made.parent)
    return edit_of(world, world.next_number, base(world, parse_stored(study.config, study.id).search))


def _touches(world: World) -> str:
    newest = world.candidates[-1] if world.candidates else None
    return f"{short(newest.number)} {newest.touches}" if newest is not None and newest.touches is not None else ""


def _conditions(reader: StudyReader, world: World) -> tuple[str, ...]:
    newest = world.candidates[-1] if world.candidates else None
    if newest is None:
        return ()
    first = world.round_of(newest.number)
    numbers = {each.id: short(each.number) for each in world.candidates if first <= each.number}
    rows = [row for row in world.decisions.values() if row.subject in numbers]
    found = differing(reader, world, rows)
    return tuple(f"{numbers[row.subject]}, {row.stage}: {found[row.id]}" for row in rows if row.id in found)


def _branch(reader: StudyReader, study: StudyRow, world: World, root: Path) -> str:
    """Asked of the latest study that tries candidates alone: of an earlier one the branch has gone on by itself."""
    from lorimer.config.settings import parse_stored

    latest = reader.latest_study("optimize")
    if latest is None or latest.id != study.id:
        return ""
    try:
        workspace = Workspace(root, parse_stored(study.config, study.id).study.harness)
        return departed(world, workspace.committed(), workspace.side_branch(study.id))
    except (PrerequisiteError, UserError):  # no git here, or no repository: there is no branch to speak of
        return ""


def state_of(study: StudyRow) -> tuple[str, str]:
    """A study's state and its reason, as they are now: a process that was killed could not say that it ended."""
    if study.state == "running" and study.holder and not alive(study.holder):
        return "interrupted", f"its process ended without a word; `lorimer resume {study.id}` goes on"
    return study.state, study.state_reason


def status_text(found: Status, *, reason: bool = True) -> str:
    """A status for people. `reason`: why it is in its state; left out where that is said beside it."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found.candidates.items())) or "none"
    made = ", ".join(f"{found.origins[origin]} {words}" for origin, words in MADE_BY.items() if origin in found.origins)
    spent = cost(found.known_usd, found.unpriced_calls)
    if found.unpriced_calls:
        spent += f" ({count(found.unpriced_calls, 'call')} of unknown price)"
    bounds = ", ".join(left_of(bound) + _whose(bound) for bound in found.left)
    models = found.task_model if found.task_model == found.meta_model else f"{found.task_model} / {found.meta_model}"
    return "\n".join(
        [
            f"{found.study} ({found.kind}): {found.state}" + (f": {found.reason}" if reason and found.reason else ""),
            f"  benchmark   {found.benchmark}: {found.train} train tasks, {found.holdout} sealed"
            + for_the_test(found.test),
            f"  model       {models}",
            *([f"  answer      {found.answer}"] if found.answer else _standing(found)),
            *([f"  refused     such as {found.refusal}"] if found.refusal else []),
            *(f"  {word:11} {said}" for word, said in gain_price.gain_lines(found.gain, found.price)),
            f"  candidates  {counts}{f' ({made})' if made and found.kind == 'optimize' else ''}",
            *([f"  not tried   {found.refused_edits}"] if found.refused_edits else []),
            *([f"  edits of    {found.edits_of}"] if found.edits_of else []),
            *([f"  touched     {found.touches}"] if found.touches else []),
            *(f"  conditions  {clause}" for clause in found.conditions),
            *([f"  luck        {found.luck}"] if found.luck.tests else []),
            *([f"  drift       {found.drift}"] if found.drift else []),
            *([_holdout(found)] if found.holdout and found.kind == "optimize" else []),
            f"  spent       {spent}, {found.tokens} tokens, {count(found.trials, 'trial')}",
            *([f"  saved       {found.saved}"] if found.saved.trials else []),
            *(f"  {word:11} {said}" for word, said in found.cache.lines()),
            *([f"  meta-agent  {_share(found.meta)}"] if found.meta.calls else []),
            *(f"  requests    {said}" for said in found.requests),
            f"  left        {bounds or 'no budget is set'}",
            *(f"  setting     {change}" for change in found.changed),
            *([f"  branch      {found.branch}"] if found.branch else []),
            *(f"  warned      {warning}" for warning in found.warnings),
            *(f"  {word:11} {said}" for word, said in found.trust.lines()),
        ]
    )


def _standing(found: Status) -> list[str]:
    first = found.baseline_first
    begun = at_first(first.trials, first.mean) if first else ""
    whose = f"  ({found.champion_candidate})" if found.champion_candidate else "  (the seed harness)"
    return [
        f"  baseline    {score_text(found.baseline) if found.baseline else 'not measured yet'}{begun}",
        f"  champion    {score_text(found.champion) if found.champion else 'none yet'}{whose}",
    ]


def _share(meta: Share) -> str:
    spent = cost(meta.known_usd, meta.unknown)
    return f"{spent} and {meta.tokens} tokens of it, in {count(meta.calls, 'call')}"


def _whose(bound: Allowance) -> str:
    role = bound.key.removeprefix("budget.").rpartition(".")[0]
    return f" ({role} model)" if role else ""


NOT_MEASURED = "the champion was not run there once more at the end, as a study under `pooled` that promoted does"


def _holdout(found: Status) -> str:
    asked = "1 query" if found.holdout_queries == 1 else f"{found.holdout_queries} queries"
    if found.sealed is None and found.state != "finished":
        return f"  holdout     {asked}; what candidates score there is shown when the study ends"
    if found.sealed is None:
        return f"  holdout     {asked}; {NOT_MEASURED}"
    champion, seed = (each.with_doubts for each in found.sealed)
    return f"  holdout     {champion}, the seed harness {seed}, side by side in trials that decided nothing; {asked}"


@dataclass(frozen=True)
class StudyLine:
    """One study of a workspace, in a line."""

    study: str
    kind: str
    state: str
    began: str
    """UTC, ISO 8601."""
    benchmark: str
    task_model: str
    meta_model: str
    score: float | None
    """The champion's mean reward on the train split, or the run's; `None` while nothing has been measured."""
    refused: Refused
    """Those of the calls behind the score that the provider refused."""
    promoted: int
    candidates: int
    trials: int
    usd: float | None
    """`None` where the price of any call is unknown."""
    known_usd: float
    """Dollars of the calls whose price is known."""
    unpriced_calls: int


def studies(reader: StudyReader) -> list[StudyLine]:
    """All studies, checks of a benchmark included, in the order in which they began."""
    return [_study_line(reader, study) for study in reader.studies()]


def _study_line(reader: StudyReader, study: StudyRow) -> StudyLine:
    world, spent = scan(reader, study.id), reader.spent(study.id)
    reported, measured = world.reported, world.reported_by(world.champion_id)
    return StudyLine(
        study=study.id,
        kind=study.kind,
        state=state_of(study)[0],
        began=study.created,
        benchmark=study.benchmark,
        task_model=study.task_model,
        meta_model=study.meta_model,
        score=None if reported is None else reported.numbers.get("score"),
        refused=NONE_REFUSED if reported is None else total(reader.refused(measured), measured),
        promoted=sum(each.state == "promoted" for each in world.candidates),
        candidates=len(world.candidates),
        trials=spent.trials,
        usd=spent.usd,
        known_usd=spent.known_usd,
        unpriced_calls=spent.unknown,
    )


def studies_text(found: Sequence[StudyLine]) -> str:
    """The studies of a workspace for people."""
    if not found:
        return "there is no study here yet; `lorimer run` or `lorimer optimize` starts one"
    columns = ("study", "kind", "state", "began", "model", "score", "promoted", "trials", "cost")
    rows = [
        (
            each.study,
            each.kind,
            each.state,
            minute(each.began),
            each.task_model if each.task_model == each.meta_model else f"{each.task_model} / {each.meta_model}",
            f"{each.score:.3f} ({each.refused})" if each.score is not None and each.refused else each.score,
            f"{each.promoted} of {each.candidates}" if each.kind == "optimize" else None,
            each.trials,
            cost(each.known_usd, each.unpriced_calls),
        )
        for each in found
    ]
    return table(columns, rows)


def log(reader: StudyReader, study: StudyRow, recent: int | None = None) -> experiments.Ledger:
    """A study's experiments, with what they changed of the newest `recent` ones, or of all, and what came of them all."""
    world = scan(reader, study.id)
    found = experiments.read(reader, world, int(study.config["retries"]["errored"]), recent=recent)
    book = experiments.with_conditions(found, reader, world, recent=recent)
    return replace(
        experiments.priced(book, reader, world, gain_of(reader, world, study)), drift=drift_of(reader, world)
    )


def doubts(reader: StudyReader, study: StudyRow) -> str:
    """What speaks against a study's results, a line each; empty where nothing does."""
    return "".join(f"{word}: {said}\n" for word, said in trust(reader, study.id).lines())
