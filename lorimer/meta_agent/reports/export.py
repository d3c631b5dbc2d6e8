"""The winner of a study as files that stand alone: the harness, its difference from the seed, and the evidence for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.config.settings import OLDER_GATE
from lorimer.errors import UserError
from lorimer.harness.version import diff
from lorimer.meta_agent.gate.cost import bound_words
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.ledger import experiments, gain_price
from lorimer.meta_agent.ledger.conditions import StudyConditions, study_conditions
from lorimer.meta_agent.ledger.drifting import drift_of
from lorimer.meta_agent.ledger.trust import trust
from lorimer.meta_agent.reports.evidence import EvidenceCard, evidence, in_short, won_by
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.reports.promotions import one_line, promotions, refused_words, score_words
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.result import at_first, result_of, sealed_scores
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.world import World, scan
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.settings import shown
from lorimer.traces.tables import Candidate, DecisionRow, StudyRow
from lorimer.wording import a, count, dollars, first_names

TASKS_NAMED = 8
"""Tasks named that share an image."""

CONFIRMED = "rests on the confirmation that it passed, which promoted it, so it is rather too high."
"""What is said of a champion's score where it has won by those trials."""
MEASURED_LAST = " When the study ends, it is measured once more, in trials that decide nothing."

HARNESS, PATCH, CARD, EVIDENCE = "agent.py", "harness.diff", "EVIDENCE.md", "evidence.json"


@dataclass(frozen=True)
class ExportedWinner:
    """What was written."""

    folder: Path
    harness: Path
    patch: Path
    card: Path
    evidence: Path
    """The same for programs."""
    sha: str
    """SHA-256 of the harness's text."""
    promotions: int
    gain: MadeOf | None
    """What the card says that its gain is made of."""
    in_short: tuple[str, ...]
    """What the evidence says first of all, a line each."""


def export(reader: StudyReader, study: str, out_dir: Path, *, force: bool = False) -> ExportedWinner:
    """Write the champion of a study, its diff from the seed and its evidence, as a card and as JSON, to `out_dir`.

    Only these four files are touched. Raises UserError when one exists and `force` is not set, when the study is unknown
    or was no optimisation, or when the folder cannot be written.
    """
    row = with_winner(reader, study)
    world = scan(reader, study)
    champion = world.champion_harness
    text, seed = reader.harness(champion).text, reader.harness(row.seed_harness).text
    gain = gain_of(reader, world, row)
    found = evidence(reader, world, gain)
    card_text = card_of(reader, row, world, gain)
    written = {HARNESS: text, PATCH: diff(seed, text), CARD: card_text, EVIDENCE: found.to_json()}
    put(out_dir, {name: content.encode() for name, content in written.items()}, force=force)
    harness, patch, card, told_in = (out_dir / name for name in written)
    return ExportedWinner(out_dir, harness, patch, card, told_in, champion, len(world.promoted), gain, in_short(found))


def with_winner(reader: StudyReader, study: str) -> StudyRow:
    """A study that can have a winner. Raises UserError for any other."""
    row = reader.study(study)
    if row.kind != "optimize":
        raise UserError(
            f"study {study} is {a(row.kind)}, so it has no winner to export; name one made by `lorimer optimize`"
        )
    return row


def free(folder: Path, files: Iterable[str], *, force: bool) -> None:
    """Raises UserError where one of the files is in the folder and `force` is not set."""
    taken = [name for name in files if (folder / name).exists()]
    if taken and not force:
        raise UserError(f"{folder / taken[0]}: exists already; name another folder, or overwrite it with --force")


def put(folder: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Write files by their path in a folder, and touch no others. Raises UserError as `free` does, or where they cannot be
    written."""
    free(folder, files, force=force)
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None


def evidence_card(reader: StudyReader, study: str) -> str:
    """The Markdown page that says what the winner's score rests on."""
    row, world = reader.study(study), scan(reader, study)
    return card_of(reader, row, world, gain_of(reader, world, row))


def card_of(
    reader: StudyReader, row: StudyRow, world: World, gain: MadeOf | None, beside: EvidenceCard | None = None
) -> str:
    """The same page, from what is known of the study already.

    Args:
        beside: of the harness that the page lies beside, where that is in files of a target: these may be of an earlier champion,
            and have no diff among them.
    """
    candidates = reader.candidates(row.id)
    promoted = [candidate for candidate in candidates if candidate.state == "promoted"]
    parts = [
        _summary(reader, row, promoted, world, gain, beside),
        _gain(gain),
        _setting(reader, row),
        promotions(reader, promoted, world),
        _others(candidates),
        _cost(reader, row),
        _reproduce(row, _champion(candidates, world), beside),
    ]
    return "\n".join(parts)


def _summary(
    reader: StudyReader,
    row: StudyRow,
    promoted: list[Candidate],
    world: World,
    gain: MadeOf | None,
    beside: EvidenceCard | None,
) -> str:
    sealed, first = world.decided("", Stage.HOLDOUT), world.seed_at_first
    found = result_of(reader, world, row)
    lines = [f"# Evidence: study `{row.id}`", ""]
    if _simulated(row):
        lines += [
            "> **Simulated.** The model in this study was a simulation, not a language model. "
            "The scores say nothing about any real model.",
            "",
        ]
    if row.state != "finished":
        lines += [f"> The study is **{row.state}**: {row.state_reason or 'it has not ended'}", ""]
    lines += ["| harness | train score, 95% interval | trials |", "|---|---|---|"]
    lines.append(_score_line("baseline (the seed harness)", world.reported_of(""), found.baseline, first))
    confirmed = won_by(world, world.champion_id)
    if world.champion is not None:
        on = "in the trials that confirmed it" if confirmed else "audited on fresh trials"
        name = f"champion (`{short(world.champion.number)}`), {on}"
        lines.append(_score_line(name, world.reported, found.final))
    elif world.reign.reverted is None:
        lines.append("| no candidate was promoted: the champion is the seed harness | | |")
    else:
        lines.append("| the champion is the seed harness again | | |")
    if world.reign.reverted is not None:
        lines += ["", f"{world.reign.reverted.reason[0].upper()}{world.reign.reverted.reason[1:]}."]
    lines += [
        "",
        "A score is the mean over tasks of each task's mean reward. The interval is clustered by task. The champion's score "
        + (_confirmed(row) if confirmed else "is that of trials run after it had won, never of those that won it."),
    ]
    luck = experiments.luck(reader, world)
    if luck.tests:
        lines += ["", f"Luck: {luck}."]
    drift = drift_of(reader, world)
    if drift:
        lines += ["", f"Drift: {drift}. Nothing is decided by it."]
    price = gain_price.of_study(gain, reader.spent(world.study))
    if price:
        lines += ["", f"Price of the gain: {price} that the whole study spent."]
    if found.refusal:
        lines += ["", f"A refused call is one that the provider did not take, such as: {one_line(found.refusal)}."]
    if sealed is not None and not told(row):
        lines += ["", "Sealed holdout: told when the study has finished, as people may steer by it before."]
    elif sealed is not None:
        said = f"Sealed holdout: baseline {score_words(sealed)}{refused_words(reader, [sealed.id])}"
        lines += ["", said + _holdout(reader, world) + "."]
    lines += ["", f"SHA-256 of `{HARNESS}`: `{beside.harness if beside else world.champion_harness}`", ""]
    if beside and beside.harness != world.champion_harness:
        lines += [f"SHA-256 of the champion's: `{world.champion_harness}`", ""]
    return "\n".join(lines)


def _confirmed(row: StudyRow) -> str:
    return CONFIRMED if row.state == "finished" else CONFIRMED + MEASURED_LAST


def _gain(gain: MadeOf | None) -> str:
    if gain is None:
        return ""
    lines = [f"- {word}: {said}" for word, said in gain.lines()]
    explained = (
        "Of the gain over the seed harness, *compute* is the most that as many tokens could have bought without any change, by "
        "trying the seed several times and keeping the best (where it has too few trials, at least what these tell); what the "
        "sealed tasks do not show is *not carried*. 95% intervals, over tasks."
    )
    return "\n".join(["## What the gain is made of", "", *lines, "", *([explained, ""] if gain.gain else [])])


def _champion(candidates: list[Candidate], world: World) -> Candidate | None:
    """The champion as it is stored; `None` for the seed harness."""
    return next((each for each in candidates if each.id == world.champion_id), None)


def _holdout(reader: StudyReader, world: World) -> str:
    final = sealed_scores(reader, world)
    asked = world.holdout_queries
    times = "once" if asked == 1 else f"{asked} times"
    if final is not None:
        champion, seed = final
        each = f"{champion.trials} trials each"
        trials = each if champion.trials == seed.trials else f"{champion.trials} and {seed.trials} trials"
        return (
            f". At the study's end, side by side in {trials} that decided nothing: champion {champion.with_doubts}, "
            f"seed harness {seed.with_doubts}. It was asked {times} in this study"
        )
    decision = world.decided(world.champion_id, Stage.HOLDOUT) if world.champion else None
    mean = decision.numbers.get("candidate_mean") if decision else None
    if decision is None or mean is None:
        return ""
    share = refused_words(reader, [decision.id])
    return (
        f"; champion {mean:.3f}{share}, from the trials that could have vetoed it. It was asked {times} in this study"
    )


def _test(sides: Mapping[str, int]) -> str:
    return f", {sides['test']} test, never run in the study" if sides["test"] else ""


def _setting(reader: StudyReader, row: StudyRow) -> str:
    tasks = [task for task in reader.tasks(row.id) if task.split != "canary"]
    sides = Counter(task.split for task in tasks)
    weaker = sum(task.isolation == "same" for task in tasks)
    gate = row.config.get("gate", {})
    pairing = "same model" if row.task_model == row.meta_model else "cross pairing"
    lines = ["## What was measured", "", "| | |", "|---|---|"]
    lines += [
        f"| task model | `{row.task_model}` |",
        f"| meta model | `{row.meta_model}` ({pairing}) |",
        f"| simulated | {'yes' if _simulated(row) else 'no'} |",
        f"| benchmark | {row.benchmark} |",
        f"| benchmark digest | `{row.suite_digest}` |",
        f"| tasks | {len(tasks)}: {sides['train']} train, {sides['holdout']} holdout" + _test(sides) + " |",
        f"| gate | {_gate(gate)} |",
        f"| seed | {row.seed} |",
        f"| begun | {row.created} |",
    ]
    if weaker:
        lines.append(
            f"| weaker evidence | {weaker} tasks were verified beside processes that the agent had left running |"
        )
    lines += [f"| changed since it began | {said} |" for said in _changed_settings(reader, row)]
    ran = study_conditions(reader, row.id)
    if ran.concurrency:
        lines.append(f"| trials at once | {_counts(ran.concurrency)} |")
    if ran.answered:
        lines.append(
            f"| task model as answered | {_counts({f'`{name}`': each for name, each in ran.answered.items()})} |"
        )
    lines += [f"| {word} | {said} |" for word, said in trust(reader, row.id).lines()]
    return "\n".join([*lines, "", *_images(ran)])


def _counts(counts: Mapping[Any, int]) -> str:
    """Each with its number of trials, where there are several."""
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{what} ({trials:,} trials)" for what, trials in counts.items())


def _images(ran: StudyConditions) -> list[str]:
    """The digest of every image that trials ran on."""
    if not ran.images:
        return []
    lines = ["### Images", "", "| digest | tasks |", "|---|---|"]
    lines += [f"| `{digest}` | {first_names(tasks, TASKS_NAMED)} |" for digest, tasks in ran.images.items()]
    if ran.changed:
        lines += ["", f"Not all trials of a task ran on the same: {first_names(ran.changed, TASKS_NAMED)}."]
    return [*lines, ""]


def _changed_settings(reader: StudyReader, row: StudyRow) -> list[str]:
    """What resumes and `lorimer tune` changed, as the chain has it, in order."""
    return [
        f"`{change['key']}` from `{shown(change['from'])}` to `{shown(change['to'])}`, {entry.made[:16]}Z"
        for entry in reader.chain(row.id, "settings")
        for change in entry.body["changes"]
    ]


def _gate(gate: dict[str, Any]) -> str:
    said = f"{gate.get('policy')}, {gate.get('repeats')} trials per task against {_champion_repeats(gate)}"
    if gate.get("policy") != "strict":
        said += f", alpha {gate.get('alpha')} per " + ("study" if gate.get("error") == "study" else "candidate")
    bound = bound_words(gate.get("max_cost_increase"), gate.get("cost_increase_per_point", 0.0))
    return f"{said}, ends of revision {gate.get('revision', OLDER_GATE['revision'])}, {bound}"


def _champion_repeats(gate: dict[str, Any]) -> int | None:
    """The champion's repeats as the stages took them; `None` for a study of a time without `repeats`."""
    repeats: int | None = gate.get("repeats")
    set_to: int | None = gate.get("champion_repeats")
    if set_to or not repeats:
        return set_to
    return repeats + 1 if "champion_every" in gate else 2 * repeats


def _others(candidates: list[Candidate]) -> str:
    words = {
        "rejected": "rejected by the gate",
        "undecided": "undecided (too many errored trials)",
        "rebased": "passed beside a promoted one, and put forward again on top of it",
        "better": "better than the file that it was compared with",
        "failed": "without a usable edit",
        "proposing": "still under way",
        "proposed": "still under way",
    }
    counts: dict[str, int] = {}
    for candidate in candidates:
        if candidate.state != "promoted":
            word = words.get(candidate.state, candidate.state)
            counts[word] = counts.get(word, 0) + 1
    said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "none"
    return f"Of {count(len(candidates), 'candidate')}, besides those promoted: {said}.\n"


def _cost(reader: StudyReader, row: StudyRow) -> str:
    spent = reader.spent(row.id)
    if spent.unknown and not spent.known_usd:
        money = "unknown (the model has no known price)"
    elif spent.unknown:
        money = f"{dollars(spent.known_usd)} and {spent.unknown:,} calls of unknown price"
    else:
        money = dollars(spent.known_usd)
    return "\n".join(
        [
            "## What it took",
            "",
            f"- trials: {spent.trials:,}",
            f"- model calls: {spent.calls:,}",
            f"- tokens: {spent.tokens:,}",
            f"- cost: {money}",
            *([f"- saved beside that: {spent.saved}"] if spent.saved.trials else []),
            "",
        ]
    )


def _reproduce(row: StudyRow, champion: Candidate | None, beside: EvidenceCard | None) -> str:
    seed, other = f"the seed harness (SHA-256 `{row.seed_harness}`)", _is_other(beside, champion, row)
    interval = f"the interval of `audit` in `{EVIDENCE}`" if other else "the interval above"
    if beside is None:
        changed = (
            f"`{PATCH}` turns {seed} into `{HARNESS}`: `patch -p1 < {PATCH}` in the folder of that seed's `{HARNESS}`."
        )
    elif beside.winner == "seed":
        changed = f"`{HARNESS}` is {seed}."
    else:
        changed = f"`lorimer diff seed {beside.winner} --study {row.id}` prints what was changed of {seed}."
    lines = [
        "## How to check it",
        "",
        f"- {changed}",
        f"- Put `{HARNESS}` in a workspace as its harness and type `lorimer run` with the settings below: fresh trials on the "
        f"same tasks give a score that should lie in {interval}.",
        f"- Every trial and every decision is in the workspace's store: `lorimer log --study {row.id}`, "
        f"`lorimer traces ls --study {row.id}`.",
    ]
    if _simulated(row):
        lines.append(
            f"- The model is simulated: `lorimer optimize` with seed {row.seed} gives the same decisions again."
        )
    if champion and champion.commit and not other:
        lines.append(f"- In the workspace's history: `git show {champion.commit[:12]}`.")
    lines += ["", "```toml"]
    lines += [
        "[benchmark]",
        f"source = {_toml(row.config.get('benchmark', {}).get('source', row.benchmark))}",
        "[models]",
        f"task = {_toml(row.task_model)}",
        f"meta = {_toml('same' if row.meta_model == row.task_model else row.meta_model)}",
        "[study]",
        f"seed = {row.seed}",
        "[gate]",
        f"repeats = {row.config.get('gate', {}).get('repeats')}",
        f"champion_repeats = {_champion_repeats(row.config.get('gate', {}))}",
        "```",
        "",
    ]
    return "\n".join(lines)


def _is_other(beside: EvidenceCard | None, champion: Candidate | None, row: StudyRow) -> bool:
    """Whether the files beside the page are not of the champion."""
    return beside is not None and beside.harness != (champion.harness if champion else row.seed_harness)


def _score_line(
    name: str, decision: DecisionRow | None, counted: Score | None, first: DecisionRow | None = None
) -> str:
    if decision is None:
        return f"| {name} | not measured to the end | |"
    trials, errored = decision.numbers.get("trials"), decision.numbers.get("errored")
    refused = f" ({counted.refused})" if counted is not None and counted.refused else ""
    begun = at_first(first.numbers.get("trials"), first.numbers.get("score")) if first else ""
    return (
        f"| {name} | {score_words(decision)}{refused}{begun} | {trials}"
        + (f", {errored} errored" if errored else "")
        + " |"
    )


def _simulated(row: StudyRow) -> bool:
    return any(model.startswith("simulated/") for model in (row.task_model, row.meta_model))


def _toml(value: Any) -> str:
    """A basic string; JSON's escapes are TOML's."""
    return json.dumps(str(value), ensure_ascii=False)
