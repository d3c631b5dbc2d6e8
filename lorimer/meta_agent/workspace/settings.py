"""Which settings a resumed study runs with. Pure.

A study keeps what it began with, what was given with `--set` included. A resume changes the keys of `MAY_CHANGE` that differ in
lorimer.toml from what that file said when the study began or was last resumed, and those that are given with `--set` now.
Whatever else would change is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.config.settings import FILE_NAME, Config, parse, parse_stored
from lorimer.errors import UserError
from lorimer.traces.scrub import MASK, scrub_json
from lorimer.traces.settings import SettingChange, SettingKey, changes, leaves, shown
from lorimer.traces.tables import StudyRow

MAY_CHANGE: tuple[SettingKey, ...] = (
    ("budget",),
    ("providers",),
    ("search", "width"),
    ("sandbox", "concurrency"),
    ("sandbox", "warm"),
    ("executor",),
    ("notify",),
    ("store",),
)
"""What a resume may change: how much is spent, and on how many edits at once; where the models are found; how fast and where
trials run; and who is told."""

WHILE_RUNNING: tuple[SettingKey, ...] = (("budget",), ("search", "width"), ("sandbox", "concurrency"))
"""What may change while a process runs the study, which has its models and jails open."""

PROVIDERS: tuple[SettingKey, ...] = (("sandbox", "provider"), ("jail", "provider"))
NAME: SettingKey = ("study", "name")
_MISSING = object()

Scrub = Callable[[str], str]


@dataclass(frozen=True)
class Resumed:
    """The settings of a study that goes on."""

    config: Config
    remarks: tuple[str, ...]
    """What the user should know of lorimer.toml, one line each."""


def resumed(study: StudyRow, file: Path, now: Mapping[str, Any], asked: Mapping[str, Any], scrub: Scrub) -> Resumed:
    """The settings with which `study` goes on.

    Args:
        study: its stored settings, and what lorimer.toml said, have secrets masked by `scrub`.
        file: the place of lorimer.toml.
        now: what it says now.
        asked: dotted keys of `--set`.

    Raises ConfigError for a wrong value; UserError where a key that the study keeps would change, and where a secret that the
    store does not hold is needed.
    """
    then = study.lorimer_toml
    before = _plain(parse_stored(_unmasked(study.config, now, scrub), study.id))
    edited = before if then is None else _plain(parse(_edited(before, then, now, scrub), str(file)))
    given = {tuple(key.split(".")): value for key, value in asked.items()}
    wanted = _keep_names(before, _plain(parse(edited, study.id, asked)))
    by_set = {change.path for change in changes(edited, wanted)}
    refused = [
        _refusal(change, then or {}, now, by_set=change.path in by_set)
        for change in changes(scrub_json(before, scrub), scrub_json(wanted, scrub))
        if not may_change(change.path)
    ]
    if refused:
        again = f"or start a new study with `lorimer {study.kind}`"
        raise UserError(f"study {study.id} keeps what it began with: {'; '.join(refused)}; {again}")
    _no_secret_is_lost(study.id, wanted, now, given)
    remarks = () if then is not None else _remarks(study.id, before, wanted, file, now, scrub)
    # Who is told is kept with no study, nor is where it is kept: it is what the file and the command line say now.
    told = {name: now.get(name, {}) for name in ("notify", "store")}
    apart = parse(told, str(file), {key: value for key, value in asked.items() if key.startswith("notify.")})
    return Resumed(parse(wanted, study.id).model_copy(update={"notify": apart.notify, "store": apart.store}), remarks)


def may_change(path: SettingKey) -> bool:
    """Whether a resume may change the setting."""
    return under(path, MAY_CHANGE)


def under(path: SettingKey, tables: Iterable[SettingKey]) -> bool:
    """Whether a setting is one of these, or in one of these tables."""
    return any(path[: len(table)] == table for table in tables)


def _plain(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _keep_names(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`auto` asks for no other sandbox or jail than was chosen, and a study's name is no setting of it."""
    held, now = leaves(before), leaves(wanted)
    keep = [NAME, *(path for path in PROVIDERS if now[path] == "auto")]
    return _with(wanted, {path: held[path] for path in keep})


def _edited(
    settings: Mapping[str, Any], then: Mapping[str, Any], now: Mapping[str, Any], scrub: Scrub
) -> dict[str, Any]:
    """`settings` with what changed in lorimer.toml: keys that say something else, are new, or are gone."""
    old, new, held = leaves(then), leaves(now), leaves(settings)
    # An empty table says nothing of the keys that it could hold.
    gone = [path for path, value in old.items() if path not in new and (value != {} or held.get(path) == {})]
    different = {path: value for path, value in new.items() if scrub_json(value, scrub) != old.get(path, _MISSING)}
    empty = {path for path, value in different.items() if value == {} and _under(held, path)}
    kept = {path: value for path, value in held.items() if path not in gone}
    return _with(_with({}, kept), {path: value for path, value in different.items() if path not in empty})


def _under(held: Iterable[SettingKey], table: SettingKey) -> bool:
    return any(path[: len(table)] == table for path in held)


def _with(settings: Mapping[str, Any], values: Mapping[SettingKey, Any]) -> dict[str, Any]:
    """`settings` with other values in their places; nothing that was given is changed."""
    made = {name: _with(value, {}) if isinstance(value, Mapping) else value for name, value in settings.items()}
    for path, value in values.items():
        at = made
        for table in path[:-1]:
            if not isinstance(at.get(table), dict):
                at[table] = {}
            at = at[table]
        at[path[-1]] = value
    return made


def _refusal(change: SettingChange, then: Mapping[str, Any], now: Mapping[str, Any], *, by_set: bool) -> str:
    said = f"{change.key} is {shown(change.before)}"
    if by_set:
        return f"{said}, and --set asks for {shown(change.after)} (leave that out)"
    was = leaves(then).get(change.path)
    undo = "take it out there" if was is None else f"put {shown(was)} back there"
    says = f"now says {shown(change.after)}" if change.path in leaves(now) else "does not say so any more"
    return f"{said}, and {FILE_NAME} {says} ({undo})"


def _remarks(
    study: str, before: Mapping[str, Any], wanted: Mapping[str, Any], file: Path, now: Mapping[str, Any], scrub: Scrub
) -> tuple[str, ...]:
    """Where lorimer.toml differs from a study whose store does not know what it said: nobody can tell which is newer."""
    says = _keep_names(before, _plain(parse(_edited(before, {}, now, scrub), str(file))))
    set_now = {change.path for change in changes(before, wanted)}
    remarks = []
    for change in changes(scrub_json(before, scrub), scrub_json(says, scrub)):
        if change.path not in set_now:
            remark = f"{FILE_NAME} has {change.key} = {shown(change.after)}; study {study} keeps {shown(change.before)}"
            how = f"; --set {change.key}={shown(change.after)} changes it" if may_change(change.path) else ""
            remarks.append(remark + how)
    return tuple(remarks)


def _unmasked(stored: Mapping[str, Any], now: Mapping[str, Any], scrub: Scrub) -> dict[str, Any]:
    """The stored settings with the secrets that lorimer.toml still holds in their places."""
    file = leaves(now)
    secrets = {
        path: file[path]
        for path, value in leaves(stored).items()
        if MASK in str(value) and path in file and scrub_json(file[path], scrub) == value
    }
    return _with(stored, secrets)


def _no_secret_is_lost(
    study: str, wanted: Mapping[str, Any], now: Mapping[str, Any], given: Iterable[SettingKey]
) -> None:
    """Raises UserError for a setting whose secret part is masked, and which nobody gives again."""
    file, again = leaves(now), set(given)
    for path, value in leaves(wanted).items():
        if MASK in str(value) and file.get(path) != value and path not in again:
            key = ".".join(path)
            raise UserError(
                f"study {study}: {key} holds a secret, which is not stored; give it again with --set {key}=..."
            )
