"""What differs between two versions of a study's settings, key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SettingKey = tuple[str, ...]
"""A setting's place: `("budget", "usd")`."""
SettingValues = Mapping[str, Any]
"""Tables of settings, as lorimer.toml has them."""


@dataclass(frozen=True)
class SettingChange:
    """One setting that is not what it was."""

    path: SettingKey
    before: Any
    """`None` where it was not set."""
    after: Any

    @property
    def key(self) -> str:
        """The setting's name as in `--set`: `budget.usd`."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.key} changed from {shown(self.before)} to {shown(self.after)}"


def leaves(settings: Mapping[str, Any]) -> dict[SettingKey, Any]:
    """Every value of nested tables by its place. A table without keys counts as a value."""
    found: dict[SettingKey, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= {(name, *key): leaf for key, leaf in leaves(value).items()}
        else:
            found[(name,)] = value
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[SettingChange]:
    """What is not the same in two versions, in order of key. A key that is missing is one that is not set."""
    old, new = leaves(before), leaves(after)
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [
        SettingChange(key, old.get(key), new.get(key))
        for key in keys
        # A table that was empty and is not any more is told by its keys.
        if not any(other[: len(key)] == key for other in keys if len(other) > len(key))
    ]


def merged(held: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """`held` with what `after` changes in `before`, and nothing else: what others have changed since `before` was read stays."""
    found = dict(held)
    for name in {*before, *after}:
        was, will, now = before.get(name), after.get(name), held.get(name)
        if was == will:
            continue
        if isinstance(was, Mapping) and isinstance(will, Mapping) and isinstance(now, Mapping):
            found[name] = merged(now, was, will)
        elif name in after:
            found[name] = will
        else:
            found.pop(name, None)
    return found


def shown(value: Any) -> str:
    """A setting's value as people read it; JSON's notation is TOML's."""
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)
