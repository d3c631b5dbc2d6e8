"""`lorimer verify`: is everything still what it was when it was decided?

Reads the store, the benchmark and the git history; changes nothing. Each check is one line: what was looked at, and what is
not as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorimer.config.settings import parse
from lorimer.errors import LorimerError, NoSuchTask
from lorimer.harness.version import sha
from lorimer.kinds import Purpose
from lorimer.meta_agent.replay.chained import CHAINED, of_body, trials_of
from lorimer.meta_agent.workspace.repository import CHAIN_TRAILER, HARNESS_TRAILER, Workspace
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.traces import chain, codec
from lorimer.traces.chain import ChainEntry
from lorimer.traces.sealed import CandidateNow, SealedReader, StudyNow
from lorimer.traces.settings import changes
from lorimer.wording import count


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    """`chain`, `studies`, `decisions`, `trials`, `dropped`, `promotions`, `harnesses`, `benchmark`, `commits`."""
    said: str
    """What was found, when it is as it was."""
    problems: tuple[str, ...] = ()
    """One line each; none where all is well."""


@dataclass(frozen=True)
class Verification:
    """What `lorimer verify` found."""

    checks: tuple[Check, ...]
    head: str
    """The chain's last hash: note it elsewhere, and a chain rewritten as a whole is found out too."""
    ok: bool


def verify(root: Path, reader: SealedReader, study: str | None = None) -> Verification:
    """Check the whole chain, and what it says of every study or of one.

    Raises UserError for an unknown study.
    """
    rows = reader.chain()
    studies = reader.studies_now(study)
    candidates = {each.id: reader.candidates_now(each.id) for each in studies}
    checks = [
        _chain(rows),
        _studies(rows, studies),
        _decisions(reader, rows, studies),
        _trials(reader, rows, studies),
        *_dropped(rows, studies),
        _promotions(rows, candidates),
        _harnesses(reader, studies, candidates),
        *_benchmarks(root, studies),
        _commits(root, rows, studies),
    ]
    return Verification(
        checks=tuple(checks),
        head=rows[-1].hash if rows else chain.BEGINNING,
        ok=not any(check.problems for check in checks),
    )


def text(found: Verification) -> str:
    """What people read: one line per check, and below it one per problem."""
    lines = []
    for check in found.checks:
        lines.append(f"{'CHANGED' if check.problems else 'ok     '}  {check.what:11} {check.said}")
        lines += [f"         {'':11} - {problem}" for problem in check.problems]
    return "\n".join([*lines, f"the chain ends with {found.head}"])


def _chain(rows: Sequence[ChainEntry]) -> Check:
    problems = chain.breaks(rows)
    return Check("chain", f"{len(rows)} entries" + ("" if problems else ", unbroken"), tuple(problems))


def _entries(rows: Sequence[ChainEntry], kind: str, study: str) -> dict[str, ChainEntry]:
    """The last entry of a kind about each subject."""
    return {row.subject: row for row in rows if row.kind == kind and row.study == study}


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):  # most columns; their JSON is the same where they are
        return one == other
    return (one is None and other is None) or codec.canonical(one) == codec.canonical(other)


def _studies(rows: Sequence[ChainEntry], studies: Sequence[StudyNow]) -> Check:
    problems = []
    for study in studies:
        entry = _entries(rows, "study", study.id).get(study.id)
        if entry is None:
            problems.append(f"study {study.id} is not in the chain")
            continue
        now = chain.study_body(study.columns, study.tasks)
        changed = [name for name, value in now.items() if name != "config" and not _same(value, entry.body.get(name))]
        if changed:
            problems.append(f"study {study.id}: {', '.join(changed)} changed since it began")
        settings = changes(chain.settings_of(rows, study.id), study.columns["config"])
        problems += [f"study {study.id}: {change}, and no entry of the chain says so" for change in settings]
    return Check("studies", f"{len(studies)} with their settings, tasks and splits", tuple(problems))


def _decisions(reader: SealedReader, rows: Sequence[ChainEntry], studies: Sequence[StudyNow]) -> Check:
    problems, decisions = [], 0
    for study in studies:
        entries = chain.decided(rows, study.id)
        sealed, stored = _entries(rows, "decision", study.id), reader.decisions_now(study.id)
        decisions += len(stored)
        problems += [f"decision {name} was removed" for name in entries if name not in stored]
        for name, row in stored.items():
            if name not in entries:
                problems.append(f"decision {name} is not in the chain")
                continue
            if codec.canonical({**sealed[name].body, "row": row}) == sealed[name].text:
                continue
            was = entries[name]
            changed = sorted(key for key, value in row.items() if not _same(value, was.get(key)))
            if changed:
                problems.append(f"decision {name}: {', '.join(changed)} changed after it was made")
    return Check("decisions", count(decisions, "decision"), tuple(problems))


def _trials(reader: SealedReader, rows: Sequence[ChainEntry], studies: Sequence[StudyNow]) -> Check:
    problems, decisions = [], 0
    for study in studies:
        entries = _entries(rows, "decision", study.id)
        now = reader.trials_digests(list(entries))
        decisions += len(entries)
        for name, entry in entries.items():
            if now.get(name, chain.NO_TRIALS) != entry.body.get("trials"):
                problems.append(f"the trials of {name} are not those that it was decided by")
        plans = _entries(rows, CHAINED, study.id)
        planned = reader.plans(list(plans))
        for name, entry in plans.items():
            if planned.get(name) != trials_of(of_body(entry.body)):
                problems.append(f"the plan of {name} is not the one that was made before its first trial")
    return Check("trials", f"the trials of {count(decisions, 'decision')}", tuple(problems))


def _dropped(rows: Sequence[ChainEntry], studies: Sequence[StudyNow]) -> list[Check]:
    """That steps of trials are gone because it was asked for, a line for each day and rule; what decided is still there."""
    found: dict[tuple[str, str, str], int] = {}
    names = {study.id for study in studies}
    for row in rows:
        if row.kind == "dropped" and row.study in names:
            key = row.study, row.made[:10], str(row.body["keep"])
            found[key] = found.get(key, 0) + len(row.body["trials"])
    return [
        Check(
            "dropped",
            f"{study}: steps of {count(trials, 'trial')} were dropped on {day}, as [store] keep = {keep} says",
        )
        for (study, day, keep), trials in found.items()
    ]


def _promotions(rows: Sequence[ChainEntry], candidates: Mapping[str, Sequence[CandidateNow]]) -> Check:
    problems, promotions = [], 0
    for study, own in candidates.items():
        entries = _entries(rows, "promotion", study)
        for row in own:
            entry = entries.pop(row.id, None)
            if entry is None:
                if row.state == "promoted":
                    problems.append(f"{row.id} is promoted, and no entry of the chain promoted it")
                continue
            promotions += 1
            if row.state != "promoted":
                problems.append(f"{row.id} was promoted, and is now {row.state}")
            now = {"harness": row.harness, "parent": row.parent, "commit": row.commit}
            changed = [name for name, value in now.items() if not _same(value, entry.body.get(name))]
            if changed:
                problems.append(f"{row.id}: {', '.join(changed)} changed after its promotion")
        problems += [f"{name} was promoted, and is gone" for name in entries]
    return Check("promotions", count(promotions, "promotion"), tuple(problems))


def _harnesses(
    reader: SealedReader, studies: Sequence[StudyNow], candidates: Mapping[str, Sequence[CandidateNow]]
) -> Check:
    wanted = {str(study.columns["seed_harness"]) for study in studies}
    wanted |= {row.harness for own in candidates.values() for row in own if row.harness}
    problems = []
    stored = reader.harness_texts(wanted)
    for name in sorted(wanted):
        if name not in stored:
            problems.append(f"harness {name[:12]} was removed")
        elif sha(stored[name]) != name:
            problems.append(f"the text of harness {name[:12]} is not the one with that SHA-256")
    return Check("harnesses", f"{len(wanted)} texts against their SHA-256", tuple(problems))


def _benchmarks(root: Path, studies: Sequence[StudyNow]) -> list[Check]:
    """The tasks' files as they are now against the digests that were stored when each study began."""
    checks = []
    known: dict[str, dict[str, str] | str] = {}
    for study in studies:
        rows = {name: study.tasks[name][0] for name in _named([study])}
        key = _reading(study)
        if key not in known:
            alike = [each for each in studies if _reading(each) == key]
            known[key] = _digests(root, study, _named(alike))
        now = known[key]
        if isinstance(now, str):
            problems = [f"it cannot be read: {now}"]
        else:
            problems = [f"task {name} is gone, or cannot be read any more" for name in rows if name not in now]
            problems += [
                f"task {name}: its files (instruction, environment, verifier, solution or settings) changed"
                for name, digest in rows.items()
                if name in now and now[name] != digest
            ]
        checks.append(
            Check(
                "benchmark", f"{study.id}: {count(len(rows), 'task')} of {study.columns['benchmark']}", tuple(problems)
            )
        )
    return checks


def _reading(study: StudyNow) -> str:
    """The settings that a task's digest depends on beside its files."""
    config = study.columns["config"]
    return codec.canonical([config.get("benchmark"), config.get("verifier")])


def _named(studies: Sequence[StudyNow]) -> tuple[str, ...]:
    """The ids of the benchmark's tasks that the studies have."""
    names = [name for study in studies for name, (_, split) in study.tasks.items() if split != "canary"]
    return tuple(dict.fromkeys(names))


def _digests(root: Path, study: StudyNow, names: tuple[str, ...]) -> dict[str, str] | str:
    """The digests, by task id, of those of `names` that the study's benchmark has now; or why it cannot be read.

    By name: a set of which a study took a sample may be too large to be read whole.
    """
    try:
        config = parse(study.columns["config"], study.id)
        whole = config.benchmark.model_copy(update={"tasks": (), "exclude": (), "limit": None})
        config = config.model_copy(update={"benchmark": whole})
        try:
            suite = load_suite(root, config, names)
        except NoSuchTask as error:
            there = tuple(name for name in names if name not in error.names)
            if not there:
                return {}
            suite = load_suite(root, config, there)
    except LorimerError as error:
        return str(error)
    return {task.id: task.digest for task in suite.tasks}


def _commits(root: Path, rows: Sequence[ChainEntry], studies: Sequence[StudyNow]) -> Check:
    """Each promotion's commit holds the champion's bytes, and names a hash that the chain had before it."""
    problems, commits = [], 0
    places = {row.hash: row.number for row in reversed(rows)} | {chain.BEGINNING: 0}
    for study in studies:
        workspace = Workspace(root, str(study.columns["config"].get("study", {}).get("harness", "harness/agent.py")))
        promotions = [(row, row.body, row.subject) for row in _entries(rows, "promotion", study.id).values()]
        found = [*promotions, *_reverts(rows, study.id)]
        stored = workspace.promoted(str(body["commit"]) for _, body, _ in found if body.get("commit"))
        for entry, body, name in found:
            commit, harness = str(body.get("commit", "")), body.get("harness")
            if not commit:
                continue
            commits += 1
            held = stored.get(commit)
            if held is None:
                problems.append(f"{name}: commit {commit[:12]} is not in this repository, or holds no harness")
                continue
            said = held.trailers.get(CHAIN_TRAILER)
            if held.sha != harness or held.trailers.get(HARNESS_TRAILER) != harness:
                problems.append(f"{name}: commit {commit[:12]} holds another harness than the one that was promoted")
            if not held.reachable:
                problems.append(f"{name}: commit {commit[:12]} is on no branch any more; the history was rewritten")
            if said is not None and places.get(said, entry.number) >= entry.number:
                problems.append(
                    f"{name}: commit {commit[:12]} names an entry that this chain does not have: "
                    "it lost its end, or was rewritten"
                )
    return Check("commits", count(commits, "promotion commit"), tuple(problems))


def _reverts(rows: Sequence[ChainEntry], study: str) -> list[tuple[ChainEntry, Mapping[str, object], str]]:
    """The decisions by which persons made earlier champions the champion again: entry, what it says of its commit, name."""
    decisions = _entries(rows, "decision", study).values()
    return [
        (entry, entry.body["row"]["numbers"], entry.subject)
        for entry in decisions
        if entry.body["row"].get("purpose") == Purpose.REVERTED  # an older lorimer sealed none
    ]
