"""Values of a compose file: variables put in, types checked, each refused by its key."""

from __future__ import annotations

import math
import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from lorimer.errors import TaskError

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|s|m|h)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


OF_COMPOSE = {"COMPOSE_PROJECT_NAME": "lorimer"}
"""What compose itself puts in, whoever starts it. Each task is a project of its own here, so no two need names that differ."""


@dataclass(frozen=True)
class Rules:
    """What differs between the formats that bring compose files."""

    main: str
    """The agent's service."""
    variables: Mapping[str, str]
    who: str
    """Who sets them, for the user."""
    local_images: frozenset[str] = frozenset()
    """Names that stand for the image that is built here."""
    hidden: tuple[str, ...] = ()
    """Paths beside the file that no container may be given."""


class ComposeValues:
    """Reads the values of one file. Its methods take the key as the user would look for it, and raise TaskError with it.

    Args:
        task: the task's id.
        folder: where the file lies.
        name: how the user finds the file.
        rules: of the format that brings it.
    """

    def __init__(self, task: str, folder: Path, name: str, rules: Rules) -> None:
        self._task, self._folder, self._name, self._rules = task, folder, name, rules

    def refuse(self, key: str, problem: str = "is not supported") -> Never:
        """Raise what `refusal` gives."""
        raise self.refusal(key, problem)

    def refusal(self, key: str, problem: str) -> TaskError:
        """The error for a key of the file."""
        return TaskError(self._task, f"{self._name}: {key}", problem)

    def filled(self, key: str, value: object) -> Any:
        """A value with its variables put in, all the way down."""
        if isinstance(value, dict):
            return {name: self.filled(f"{key}.{name}", each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(f"{key}.{at}", each) for at, each in enumerate(value)]
        return self.fill(key, value) if isinstance(value, str) else value

    def fill(self, key: str, text: str) -> str:
        """A text with its variables put in, as compose has it: `${VAR:-default}` and the like, `$$` for a dollar."""

        def one(match: re.Match[str]) -> str:
            variable, how, default = match[1] or match[4], match[2], match[3]
            if variable is None:
                return "$"
            value = self._rules.variables.get(variable, OF_COMPOSE.get(variable))
            if how in (":+", "+"):
                return default if value else ""
            if value or (value is not None and how in (None, "-", "?")):
                return value
            if how in (":-", "-"):
                return str(default)
            raise self.refusal(key, f"needs the variable {variable}, which {self._rules.who} does not set")

        return _VARIABLE.sub(one, text)

    def environment(self, base: str, table: Mapping[str, Any]) -> dict[str, str]:
        """A service's variables: those of its files, and over them its own. None comes from the host."""
        env: dict[str, str] = {}
        for at, entry in enumerate(as_list(table.get("env_file"))):
            key = f"{base}.env_file.{at}"
            path = posixpath.normpath(str(entry.get("path", "") if isinstance(entry, dict) else entry))
            if path.startswith(("/", "..")) or not (self._folder / path).is_file():
                self.refuse(key, f"{path!r} is no file of the task")
            for line in (self._folder / path).read_text(encoding="utf-8", errors="replace").splitlines():
                name, equals, text = line.strip().partition("=")
                if equals and not name.startswith("#"):
                    env[name.strip()] = text.strip().strip("'\"")
        return env | self.pairs(f"{base}.environment", table.get("environment"))

    def pairs(self, key: str, value: object) -> dict[str, str]:
        """A list of `NAME=value` or a mapping, as a mapping."""
        if value is None:
            return {}
        if isinstance(value, list):
            pairs = [str(entry).partition("=") for entry in value]
            value = {name: text if equals else None for name, equals, text in pairs}
        if not isinstance(value, dict):
            self.refuse(key, "is not a list or a mapping")
        for name, text in value.items():
            if text is None:
                self.refuse(f"{key}.{name}", "would take its value from the host, which an agent must not see")
        return {str(name): plain(text) for name, text in value.items()}

    def words(self, base: str, key: str, table: Mapping[str, Any]) -> tuple[str, ...] | None:
        """A command as its words, given as text or as a list; `None` where there is none."""
        value = table.get(key)
        if value is None:
            return None
        try:
            words = shlex.split(value) if isinstance(value, str) else value
        except ValueError as error:
            self.refuse(f"{base}.{key}", f"cannot be read: {error}")
        if not isinstance(words, list) or any(isinstance(word, dict | list) or word is None for word in words):
            self.refuse(f"{base}.{key}", "is not a command")
        return tuple(plain(word) for word in words)

    def table(self, key: str, value: object) -> dict[str, Any]:
        """A mapping of names to values."""
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value):
            self.refuse(key, "is not a mapping of names to values")
        return value

    def text(self, key: str, value: object) -> str | None:
        """Text or a number as text; `None` where there is none."""
        if value is None:
            return None
        if isinstance(value, bool | dict | list):
            self.refuse(key, "is not text")
        return str(value)

    def flag(self, key: str, value: object) -> bool:
        """Whether it is true; nothing is false."""
        if value is not None and not isinstance(value, bool):
            self.refuse(key, "is not true or false")
        return value is True

    def number(self, key: str, value: object) -> float:
        """A number."""
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.refuse(key, f"{value!r} is not a number")
        return number

    def seconds(self, key: str, value: object) -> float:
        """A duration such as `1m30s`."""
        text = str(value)
        if not re.fullmatch(f"({_DURATION.pattern})+", text):
            self.refuse(key, f"{value!r} is not a duration such as '5s' or '1m30s'")
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))

    def megabytes(self, key: str, value: object) -> int:
        """A size such as `512m`; at least the 6 MB that Docker asks for."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.refuse(key, f"{value!r} is not a size such as '512m'")
        scale: Mapping[str, float] = {"": 1 / (1 << 20), "k": 1 / 1024, "m": 1.0, "g": 1024.0}
        return max(6, int(float(match[1]) * scale[match[2].lower()]))


def as_list(value: object) -> list[Any]:
    """A list, or the one value as one; nothing is an empty one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def plain(value: object) -> str:
    """The value as YAML writes it: true is `true`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
