"""The memory of a study: what was tried, what it should have done, what came of it and why.

Deterministic: no times, no row ids, no completion order. The meta-agent reads it sealed, without a word of what the
holdout measured; people read it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorimer.harness.version import Hunk
from lorimer.kinds import MADE_BY, NONE_REFUSED, Refused
from lorimer.meta_agent.gate.comparison import told_reason
from lorimer.meta_agent.gate.cost import held_back
from lorimer.meta_agent.gate.reported.drift import Drift
from lorimer.meta_agent.gate.reported.false_promotions import FalsePromotions, Won, expect
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.ledger import conditions, foreseen, gain_price
from lorimer.meta_agent.ledger.effects import effects
from lorimer.meta_agent.ledger.gain_price import GainPrice, gain_lines
from lorimer.meta_agent.ledger.refusals import NO_REFUSALS, Refusals, refusals
from lorimer.meta_agent.ledger.telling import came_of
from lorimer.meta_agent.proposer.cases import one_line
from lorimer.meta_agent.proposer.log import Log, ToldExperiment
from lorimer.meta_agent.proposer.touching import summary
from lorimer.meta_agent.state.descent import edit_of
from lorimer.meta_agent.state.names import STAGES, short
from lorimer.meta_agent.state.result import at_first, total
from lorimer.meta_agent.state.world import ByStage, World, by_candidate, score_of
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import Effect, Fired, TaskChanges
from lorimer.traces.previews import Touches
from lorimer.traces.schema import Spent, Stage
from lorimer.traces.tables import Candidate, DecisionRow
from lorimer.wording import dollars, first_names

RECENT = 12
"""Experiments of which it is looked up for the meta-agent which tasks they changed: of some, that takes reading their trials."""
TASKS_NAMED = 12
"""Tasks listed by name after a verdict."""
SHOWN = 50
"""Experiments told in full to people who do not ask for all."""
HYPOTHESIS_CHARS = 600
LINE_CHARS = 60
"""The longest title, where an experiment is told in one short line."""
ENDED: Mapping[str, str] = {
    Stage.SPOT: "rejected in the spot-check",
    Stage.FULL: "rejected in the full run",
    Stage.AUDIT: "rejected by fresh trials",
    Stage.CANARY: "rejected by a canary",
    Stage.HOLDOUT: "vetoed by the sealed holdout",
    Stage.REVIEW: "refused by a person",
}
"""What ended a rejected experiment, by its last stage."""
AGED = "champion"
"""The stage of a verdict by which the champion's trials were too old and were run anew."""


@dataclass(frozen=True)
class StageVerdict:
    """What the gate said at one stage."""

    stage: str
    kind: str
    reason: str
    refused: Refused = NONE_REFUSED
    """Those of its trials' calls that were refused; nothing on sealed tasks. People are told; the meta-agent reads traces."""
    conditions: str = ""
    """Where its trials and those that they were compared with ran under different conditions: what differed. People are told."""

    @property
    def told(self) -> str:
        """Its reason as people read it."""
        return f"{self.reason}{f' ({self.refused})' if self.refused else ''}{f'; {self.conditions}' if self.conditions else ''}"


@dataclass(frozen=True)
class Entry:
    """One experiment."""

    candidate: str
    number: int
    state: str
    title: str
    hypothesis: str
    fixes: tuple[str, ...]
    """Tasks that it should have fixed."""
    at_risk: tuple[str, ...]
    came_of: str
    """What happened and what it means, in one line in which nothing was measured on sealed tasks."""
    failure: str
    """Why there was no usable edit."""
    verdicts: tuple[StageVerdict, ...]
    fixed: tuple[str, ...]
    """Train tasks on which its counted full trials did better than the champion's standing ones."""
    broke: tuple[str, ...]
    parent: str
    """SHA-256 of the harness that was edited."""
    harness: str | None
    """SHA-256 of the edited harness; `None` where there is none."""
    commit: str = ""
    origin: str = "meta"
    touches: Touches | None = None
    """How many recorded trials the edit touches; `None` where that was not worked out."""
    hunks: tuple[Hunk, ...] = ()
    kind: str = ""
    """What its edit is about, as the proposal stated it."""
    cause: str = ""
    mechanism: str = ""
    round: tuple[int, int] | None = None
    """The numbers of the first and the last candidate of its round; `None` where it is a round of its own."""
    cluster: str = ""
    """The kind of failures that it was to be about; empty where it was to be about any."""
    rebased: int | None = None
    """The number of the candidate whose edit it is, made for an earlier champion."""
    edit_of: str = ""
    """Which harness its edit is one of, where that is not the champion that it met."""
    fired: Fired | None = None
    """How many trials of its full run the edit fired in; `None` where that was not looked up."""
    promising: bool = False
    """Whether it was better than the champion in its full run, whatever became of it."""
    price: GainPrice | None = None
    """The price of a promotion, for the trials by which it was decided; where people are told (`priced`)."""


@dataclass(frozen=True)
class Ledger:
    """A study's experiments in order, with the one that is being proposed."""

    study: str
    baseline: str
    """The seed harness's score with interval, over all trials that stand for it, or why there is none."""
    champion: str
    """Its name and its score with interval."""
    entries: tuple[Entry, ...]
    luck: FalsePromotions
    """How many false promotions to expect so far."""
    baseline_first: Score | None = None
    """The seed harness's score over its first trials alone; `None` where no others stand for it."""
    baseline_refused: Refused = NONE_REFUSED
    champion_refused: Refused = NONE_REFUSED
    """Those of the calls behind these scores that were refused; people are told."""
    price: GainPrice | None = None
    """The price of the champion's gain, for all that the study spent; where people are told (`priced`)."""
    gain: MadeOf | None = None
    """What the champion's gain is made of, where people are told: the meta-agent is not."""
    spent: Spent | None = None
    """What the study spent and what records saved; given where people are told (`priced`)."""
    drift: Drift | None = None
    """How the same harnesses score late against early, where people are told."""
    refused: Refusals = NO_REFUSALS
    """Edits that were refused before anything was paid for them; people are told."""


def read(
    reader: StudyReader, world: World, retries: int, *, recent: int | None = None, before: int | None = None
) -> Ledger:
    """The ledger as the store has it.

    Args:
        world: the study as it stands.
        retries: `[retries] errored` of the study.
        recent: only of the newest so many experiments that were made it is looked up which tasks they changed; for that, trials
            are read of those of which it is not stored.
        before: only candidates before this number, as those of a round know nothing of one another.
    """
    rows = [row for row in reader.candidates(world.study) if before is None or row.number < before]
    made = [row for row in rows if row.state != "proposing"]
    looked_up = made if recent is None else made[max(0, len(made) - recent) :]
    found = effects(reader, world, looked_up, retries)
    refused = reader.refused([each.id for about, each in world.decisions.items() if about.stage is not Stage.HOLDOUT])
    own, aged = by_candidate(world)
    entries = [
        _entry(
            world,
            row,
            own.get(row.id, {}),
            aged.get(row.number, {}),
            found.get(row.number),
            refused,
        )
        for row in rows
    ]
    first = world.seed_at_first
    return Ledger(
        world.study,
        _score(world.reported_of("")),
        _champion(world),
        tuple(entries),
        luck(reader, world),
        baseline_first=score_of(first) if first else None,
        baseline_refused=total(refused, world.reported_by("")),
        champion_refused=total(refused, world.reported_by(world.champion_id)),
        refused=refusals(each for each in world.candidates if before is None or each.number < before),
    )


def priced(ledger: Ledger, reader: StudyReader, world: World, gain: MadeOf | None) -> Ledger:
    """The ledger with the champion's gain, and with what each gain was paid for. The meta-agent is told of neither: how often a
    study was stopped shows in a price."""
    prices = gain_price.of_promotions(reader, world)
    entries = tuple(replace(entry, price=prices.get(entry.number)) for entry in ledger.entries)
    spent = reader.spent(world.study)
    return replace(ledger, entries=entries, gain=gain, price=gain_price.of_study(gain, spent), spent=spent)


def with_conditions(ledger: Ledger, reader: StudyReader, world: World, *, recent: int | None = None) -> Ledger:
    """The ledger as people read it: with what differed between the arms of the newest `recent` experiments, or of all."""
    first = 0 if recent is None else max(0, len(ledger.entries) - recent)
    told = {entry.candidate for entry in ledger.entries[first:]}
    rows = {
        (row.subject, row.stage): row for about, row in world.decisions.items() if row.subject in told and not about.met
    }
    found = conditions.differing(reader, world, rows.values())
    said = {about: found[row.id] for about, row in rows.items() if row.id in found}
    entries = [
        replace(
            entry,
            verdicts=tuple(replace(v, conditions=said.get((entry.candidate, v.stage), "")) for v in entry.verdicts),
        )
        for entry in ledger.entries
    ]
    return replace(ledger, entries=tuple(entries)) if said else ledger


def luck(reader: StudyReader, world: World) -> FalsePromotions:
    """How many false promotions to expect of a study so far."""
    decided = ((world.decided(each.id, Stage.FULL), world.decided(each.id, Stage.AUDIT)) for each in world.promoted)
    promotions = [Won(full, audit) for full, audit in decided if full is not None]
    return expect(world.full_runs, reader.study(world.study).config.get("gate", {}), promotions)


def render(ledger: Ledger, recent: int | None = None) -> str:
    """The ledger as text for people.

    Args:
        recent: only the newest so many experiments are told in full, and the others in a line each.
    """
    shares = (ledger.baseline_refused, ledger.champion_refused)
    head = _head(ledger, *(f" ({share})" if share else "" for share in shares))
    gain = [f"{word.capitalize()}: {said}" for word, said in gain_lines(ledger.gain, ledger.price)]
    lines = [*head, *gain, *([f"Luck: {ledger.luck}"] if ledger.luck.tests else [])]
    lines += [*([f"Drift: {ledger.drift}"] if ledger.drift else []), *_saved(ledger)]
    lines += [*([f"Not tried: {ledger.refused}"] if ledger.refused else []), ""]
    if not ledger.entries:
        return "\n".join([*lines, "No experiment has been made yet."]) + "\n"
    first = 0 if recent is None else max(0, len(ledger.entries) - recent)
    if first:
        lines += [
            f"Of {len(ledger.entries)} experiments the newest {recent} are told in full; "
            f"`lorimer log --all --study {ledger.study}` tells all.",
            "",
        ]
    lines += [_line(entry) + _refused(entry) for entry in ledger.entries[:first]]
    for entry in ledger.entries[first:]:
        lines += told(entry)
        if entry.price:
            lines.append(f"  price: {entry.price.of_promotion}")
        if entry.commit:
            lines.append(f"  commit: {entry.commit[:12]}")
    return "\n".join(lines) + "\n"


def for_meta_agent(ledger: Ledger) -> Log:
    """What the meta-agent is told of earlier experiments: nothing that the holdout measured or a clock said, no commit, whose
    id holds its time, no person's name, and not the proposal under way, which is its own.
    """
    made = [entry for entry in ledger.entries if entry.state != "proposing"]
    experiments = []
    for entry in made:
        verdicts = [_sealed(verdict) for verdict in entry.verdicts if verdict.stage not in (AGED, Stage.REVIEW)]
        whole = "\n".join(_told(entry, verdicts, summary(entry.touches) if entry.touches else ""))
        title = one_line(entry.title, LINE_CHARS)
        experiments.append(ToldExperiment(short(entry.number), whole, entry.state, title, _ended(entry), entry.kind))
    outcomes = [
        foreseen.DecidedRun(
            entry.kind,
            entry.state == "promoted",
            frozenset(entry.fixes),
            frozenset(entry.at_risk),
            frozenset(entry.fixed),
            frozenset(entry.broke),
        )
        for entry in made[-RECENT:]
        if any(verdict.stage == Stage.FULL for verdict in entry.verdicts)
    ]
    return Log("\n".join([*_head(ledger), *foreseen.lines(outcomes)]), tuple(experiments))


def _ended(entry: Entry) -> str:
    """What ended an experiment, in a few words; nothing that was measured on sealed tasks."""
    if entry.state == "failed":
        return "no usable edit"
    last = [verdict.stage for verdict in entry.verdicts if verdict.stage != AGED][-1:]
    if entry.state != "rejected" or not last:
        return ""
    return "rejected for its cost" if entry.promising and last == [Stage.FULL] else ENDED.get(last[0], "")


def _head(ledger: Ledger, of_baseline: str = "", of_champion: str = "") -> list[str]:
    first = ledger.baseline_first
    begun = at_first(first.trials, first.mean) if first else ""
    return [
        f"Baseline (the seed harness): {ledger.baseline}{of_baseline}{begun}",
        f"Champion now: {ledger.champion}{of_champion}",
    ]


def _saved(ledger: Ledger) -> list[str]:
    """What records saved, beside what was spent."""
    spent = ledger.spent
    if spent is None or not spent.saved.trials:
        return []
    money = f"{dollars(spent.known_usd)}{'+' if spent.unknown else ''}"
    return [f"Spent: {money} and {spent.tokens:,} tokens; saved: {spent.saved}"]


def _refused(entry: Entry) -> str:
    """The share of all calls of an experiment, where it is told in one line."""
    share = sum((verdict.refused for verdict in entry.verdicts), start=NONE_REFUSED)
    return f" ({share})" if share else ""


def _line(entry: Entry) -> str:
    """What was tried, what happened and what it means."""
    tried = " ".join(entry.title.split())
    return f"{short(entry.number)} [{entry.state}] {tried}{': ' if tried else ''}{' '.join(entry.came_of.split())}"


def told(entry: Entry) -> list[str]:
    """An experiment in lines for people, without its price and commit."""
    touches = "; ".join([str(entry.touches), *entry.touches.idle]) if entry.touches else ""
    return _told(entry, [replace(verdict, reason=verdict.told) for verdict in entry.verdicts], touches)


def _told(entry: Entry, verdicts: Sequence[StageVerdict], touches: str) -> list[str]:
    """An experiment in lines, with what is said of what it touches."""
    lines = [_line(entry)]
    if entry.origin in MADE_BY:
        lines.append(f"  made: {MADE_BY[entry.origin]}")
    stated = [f"{what}: {said}" for what, said in (("kind", entry.kind), ("cause", entry.cause)) if said]
    lines += [f"  {'; '.join(stated)}"] if stated else []
    if entry.mechanism and entry.mechanism != entry.title:
        lines.append(f"  mechanism: {entry.mechanism}")
    if entry.cluster:
        lines.append(f"  asked about: failures of kind {entry.cluster}")
    if entry.round is not None:
        lines.append(f"  round: {short(entry.round[0])} to {short(entry.round[1])}, against the same champion")
    if entry.rebased is not None:
        lines.append(f"  rebased: the edit of {short(entry.rebased)}, made for the champion before")
    if entry.edit_of:
        lines.append(f"  edit of: {entry.edit_of}")
    if entry.hypothesis:
        lines.append(f"  hypothesis: {_clip(entry.hypothesis)}")
    for what, tasks in (("should fix", entry.fixes), ("at risk", entry.at_risk)):
        lines += [f"  {what}: {first_names(tasks, TASKS_NAMED)}"] if tasks else []
    lines += [f"  {touches}"] if touches else []
    lines += [f"  {verdict.stage}: {verdict.reason}" for verdict in verdicts]
    fired = entry.fired
    for word, said in fired.lines() if fired else []:
        if word != "cost" or not any(" costs " in verdict.reason for verdict in verdicts):  # as the gate weighed it
            lines.append(f"  {word}: {said}")
    for what, tasks in (("did better on", entry.fixed), ("did worse on", entry.broke)):
        named = [fired.beside(task) if fired else task for task in tasks]
        lines += [f"  {what}: {first_names(named, TASKS_NAMED)}"] if tasks else []
    return lines


def _entry(
    world: World,
    row: Candidate,
    own: ByStage,
    aged: ByStage,
    effect: Effect | None,
    refused: Mapping[str, Refused],
) -> Entry:
    changed = effect.changes if effect else TaskChanges()
    verdicts, decided = [], []
    for stage in (*STAGES, Stage.REVIEW):
        age = aged.get(stage)
        if age is not None and age.numbers["refresh"]:
            verdicts.append(StageVerdict(AGED, age.kind, age.reason))
        decision = own.get(stage)
        if decision is not None:
            decided.append(decision)
            share = refused.get(decision.id, NONE_REFUSED)
            verdicts.append(StageVerdict(stage.value, decision.kind, told_reason(decision.reason), share))
    return Entry(
        candidate=row.id,
        number=row.number,
        state=row.state,
        title=row.title,
        hypothesis=row.hypothesis,
        fixes=tuple(row.fixes),
        at_risk=tuple(row.at_risk),
        came_of=came_of(row.state, row.failure, decided),
        failure=row.failure,
        verdicts=tuple(verdicts),
        fixed=changed.better,
        broke=changed.worse,
        fired=effect.fired if effect else None,
        parent=row.parent,
        harness=row.harness,
        commit=row.commit,
        origin=row.origin,
        touches=None if row.touches is None else Touches.of_json(row.touches),
        hunks=tuple(Hunk(**each) for each in row.edit),
        kind=row.kind,
        cause=row.cause,
        mechanism=row.mechanism,
        round=world.round_from(row.number),
        cluster=row.cluster,
        rebased=row.rebased,
        edit_of=edit_of(world, row.number, row.parent),
        promising=any(
            each.stage == Stage.FULL and (each.kind == "promote" or held_back(each.kind, each.numbers))
            for each in decided
        ),
    )


def _sealed(verdict: StageVerdict) -> StageVerdict:
    if verdict.stage != Stage.HOLDOUT:
        return verdict
    said = {"reject": "vetoed by the sealed holdout", "undecided": "undecided on the sealed holdout"}
    return StageVerdict(verdict.stage, verdict.kind, said.get(verdict.kind, "not vetoed by the sealed holdout"))


def _score(decision: DecisionRow | None) -> str:
    if decision is None:
        return "not measured yet"
    score = score_of(decision)
    return f"{score} over {score.trials} trials of {score.tasks} train tasks"


def _champion(world: World) -> str:
    champion = world.champion
    name = f"{short(champion.number)}, {champion.title}" if champion else "the seed harness"
    again = world.reign.reverted
    why = f": {again.numbers['why']}" if again and again.numbers["why"] else ""
    return f"{name}: {_score(world.reported)}{f' (a person went back to it{why})' if again else ''}"


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HYPOTHESIS_CHARS else line[: HYPOTHESIS_CHARS - 1] + "…"
