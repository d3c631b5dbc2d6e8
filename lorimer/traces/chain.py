"""The chain: every study, decision and promotion, each entry sealed by a hash that covers the one before.

Whoever changes, removes or reorders an entry breaks every hash after it. Whoever rewrites the whole chain is betrayed by the
promotion commits, which name the chain's end of their time (`Lorimer-Chain`). Nothing here reads a clock or a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from lorimer.kinds import TrialState
from lorimer.traces import codec
from lorimer.traces.settings import SettingChange

BEGINNING = "0" * 64
"""What the first entry names as the one before it."""

READ_ANEW = frozenset({"budget", "executor", "providers", "sandbox", "search"})
"""Tables of lorimer.toml in which a resume may change something (`meta_agent.workspace.settings` says what)."""

_ABOUT = ("subject", "stage", "purpose", "met")
"""The columns that say what a decision is about."""

FINISHED = (TrialState.SCORED.value, TrialState.ERRORED.value)

TRIALS = "SELECT id, state, cause, reward FROM trial WHERE evaluation = ? AND state IN (?, ?)"
"""What `trials_digest` is taken over: of one evaluation, the trials in a state of `FINISHED`."""

BEGUN = ("kind", "seed", "task_model", "meta_model", "benchmark", "suite_digest", "seed_harness", "config")
"""The columns of a study that the chain keeps as they were when it began."""


class ChainEntry(NamedTuple):
    """One entry, as the store holds it."""

    number: int
    """1, 2, 3, … over the whole store."""
    study: str
    kind: str
    """`study`, `settings`, `plan`, `decision`, `promotion`, `program`, `pause`, `dropped` or `upgrade`."""
    subject: str
    """The id of what it is about."""
    body: dict[str, Any]
    text: str
    """The body's JSON as it is stored."""
    made: str
    """UTC, ISO 8601."""
    previous: str
    """The hash of the entry before."""
    hash: str


def seal(number: int, study: str, kind: str, subject: str, body: Any, made: str, previous: str) -> str:
    """The SHA-256 of an entry: over the canonical JSON of all that it says, the hash before it included."""
    return codec.digest([number, study, kind, subject, body, made, previous])


def _is_sealed(entry: ChainEntry) -> bool:
    """Whether an entry's hash is the one over what it says."""
    number, study, kind, subject, body, text, made, previous, said = entry
    # A body is stored as the canonical JSON that was hashed; only one that some other program wrote is made canonical first.
    head, tail = codec.canonical([number, study, kind, subject])[:-1], codec.canonical([made, previous])[1:]
    plain = hashlib.sha256(f"{head},{text},{tail}".encode()).hexdigest()
    return said == plain or said == seal(number, study, kind, subject, body, made, previous)


def breaks(rows: Sequence[ChainEntry]) -> list[str]:
    """What is wrong with a chain, all of its entries given in order of number. Empty: it is whole."""
    found = []
    previous = BEGINNING
    for expected, row in enumerate(rows, start=1):
        if row.number != expected:
            found.append(
                f"entry {expected} is missing" if row.number > expected else f"entry {row.number} is there twice"
            )
            break
        if row.previous != previous:
            found.append(f"entry {row.number} ({row.kind} of {row.subject}) does not follow the one before it")
        if not _is_sealed(row):
            found.append(f"entry {row.number} ({row.kind} of {row.subject}) was changed after it was made")
        previous = row.hash
    return found


def study_body(columns: Mapping[str, Any], tasks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the chain keeps of a study: its settings as it began, and its benchmark's hashes.

    Args:
        columns: of the study's row, those of `BEGUN` at least.
        tasks: digest and split of each task, by its id.
    """
    return {name: columns[name] for name in BEGUN} | {"tasks": {name: list(each) for name, each in tasks.items()}}


def settings_body(changes: Iterable[SettingChange], config: Mapping[str, Any]) -> dict[str, Any]:
    """What the chain keeps of a resume that changed settings: each change, and the changeable tables as they are from then on."""
    said = [{"key": change.key, "from": change.before, "to": change.after} for change in changes]
    return {"changes": said, "config": {table: config[table] for table in sorted(READ_ANEW) if table in config}}


def settings_of(rows: Iterable[ChainEntry], study: str) -> dict[str, Any]:
    """A study's settings as the chain has them: those that it began with, and what resumes changed since.

    Studies that an older lorimer began have their changeable tables from the entry which the migration made.
    """
    held: dict[str, Any] = {}
    for row in rows:
        if row.study == study and row.kind in ("study", "settings"):
            held |= row.body.get("config", {})
    return held


def setting_changes(rows: Iterable[ChainEntry], study: str) -> list[SettingChange]:
    """What resumes of a study changed, in the order in which they did."""
    return [
        SettingChange(tuple(change["key"].split(".")), change["from"], change["to"])
        for row in rows
        if row.study == study and row.kind == "settings"
        for change in row.body.get("changes", ())
    ]


def decided(rows: Sequence[ChainEntry], study: str) -> dict[str, dict[str, Any]]:
    """A study's decisions by id as the chain has them, under the names that columns have today.

    The entry of a decision that an older lorimer made has no `purpose`. What the new columns say of such a decision was chained
    once, in an entry of kind `upgrade`, when its store was migrated: only the first one counts, and only for those before it.
    """
    own = [row for row in rows if row.study == study]
    upgrade = next((row for row in own if row.kind == "upgrade"), None)
    found: dict[str, dict[str, Any]] = {}
    for row in own:
        if row.kind == "decision":
            found[row.subject] = dict(row.body.get("row", {}))
            if upgrade is not None and row.number < upgrade.number:
                about = upgrade.body.get("decisions", {}).get(row.subject, {})
                found[row.subject] |= {name: about.get(name) for name in _ABOUT}
    return found


def all_dropped(rows: Iterable[ChainEntry]) -> frozenset[str]:
    """The trials whose steps were dropped."""
    return frozenset(name for row in rows if row.kind == "dropped" for name in row.body["trials"])


def dropped(rows: Iterable[ChainEntry], trial: str) -> str:
    """When and by which rule the steps of a trial were dropped, as a clause; "" where the chain does not say so."""
    said = next((row for row in rows if row.kind == "dropped" and trial in row.body["trials"]), None)
    return "" if said is None else f"were dropped on {said.made[:10]}, as [store] keep = {said.body['keep']} says"


def trials_digest(rows: Iterable[tuple[str, str, str, float | None]]) -> str:
    """SHA-256 over the id, state, cause and reward of an evaluation's finished trials, in order of id."""
    return codec.digest(sorted(rows, key=itemgetter(0)))


NO_TRIALS = trials_digest(())
"""The digest of an evaluation without finished trials."""
