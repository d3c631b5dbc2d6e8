"""YAML from outside: safe, with errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorimer.errors import TaskError


def load(task: str, name: str, text: str) -> Any:
    """What a task's YAML file holds. Raises TaskError, also for aliases: a few lines of them can mean gigabytes."""
    import yaml

    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise TaskError(task, name, f"line {token.start_mark.line + 1}: aliases are not supported")
        return yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise TaskError(task, name, f"not valid YAML: {line}{error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TaskError(task, name, f"not valid YAML: {' '.join(str(error).split())[:200]}") from None


def mapping(task: str, name: str, text: str) -> Mapping[str, Any]:
    """The same, where the file must be a mapping with names as keys. Raises TaskError."""
    data = load(task, name, text)
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise TaskError(task, name, "is not a mapping of names to values")
    return data
