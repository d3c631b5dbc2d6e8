"""What to do about an error in lorimer.toml: it names a key, a file or a folder, and the fix is an edit of just that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lorimer.benchmarks.registry import KINDS
from lorimer.config.settings import Config
from lorimer.doctor.findings import by_hand, command, edit
from lorimer.errors import ConfigError
from lorimer.models.provider import ProviderConfig

_KEY = re.compile(r"(benchmark\.hf\.scorer|benchmark\.hf|benchmark|split)\.([a-z_]+)")
"""A key's path, with which messages begin."""
_MEANT = re.compile(r"no column '(.*)'; did you mean '(.*)'\?$")

_TAKES = {
    **{
        f"benchmark.hf.{key}": '"COLUMN"'
        for key in ("id", "instruction", "answer", "category", "difficulty", "source_id")
    },
    "benchmark.hf.split": '"NAME"',
    "benchmark.hf.environment": '"DIR"',
    "benchmark.hf.scorer.choices": '["COLUMN"]',
    "benchmark.hf.scorer.pattern": '"COLUMN"',
    "benchmark.hf.scorer.check": '"COLUMN"',
    "benchmark.hf.scorer.check_file": '"FILE"',
}
"""What keys of [benchmark.hf] take."""
_EDITS = {
    "benchmark.tasks": "tasks = names or patterns of tasks that there are; without it, all take part",
    "benchmark.exclude": "exclude = fewer of the tasks",
    "benchmark.isolation": 'isolation = "task"',
    "benchmark.hf.revision": "leave out revision, or name one that the hub has",
}
"""What to do about a key of which there is one thing to say, whatever is wrong with it."""

_SUGGESTED = re.compile(r"\(did you mean '([^']+)'\?\)")
"""Another model, as a message proposes it."""
_ADDRESS = re.compile(r"providers\.(.+)\.base_url: ")
_EXAMPLE = "http://127.0.0.1:8080/v1"


def model_fix(root: Path, role: str, providers: Mapping[str, ProviderConfig], error: ConfigError) -> str:
    """The edit that answers what is wrong with the name of a model, or with the settings of its provider.

    Args:
        role: the key of [models] that names it.
    """
    address, suggested = _ADDRESS.match(error.problem), _SUGGESTED.search(error.problem)
    if address is not None:
        url = _whole(providers[address[1]].base_url or _EXAMPLE)
        return edit(root, f"providers.{address[1]}", f'base_url = "{url}"')
    if suggested is not None:
        line = edit(root, "models", f'{role} = "{suggested[1]}"')
        return f"{line}; or {error.fix}" if error.fix else line
    return error.fix or edit(root, "models", f'{role} = "simulated/apprentice"')


def _whole(url: str) -> str:
    """An address with the http:// or https:// that it lacks: who names a port has a server of their own."""
    rest = re.sub(r"^\w+:/+", "", url)
    return f"{'http' if ':' in rest.partition('/')[0] else 'https'}://{rest}"


def benchmark_fix(root: Path, config: Config, error: ConfigError) -> str:
    """The edit or the command that answers what reading the benchmark of the workspace in `root` raised."""
    said = error.problem
    found = _KEY.match(said)
    if found is not None and found[0] == "benchmark.source":
        if "can be read" not in said and "cannot be read" not in said:
            return _source(root, config)
        row = _KEY.search(said, found.end())  # a key of lorimer.toml for which its tasks are refused
        if row is not None:
            return edit(root, row[1], f"correct {row[2]}, as said above")
        return f"correct the tasks: {command(root, 'benchmarks', 'ls')} says what is wrong with each"
    if found is None:
        return _without_key(root, config, said)
    return edit(root, found[1], _EDITS.get(found[0]) or _value(config, found, said))


def split_fix(root: Path, config: Config, error: ConfigError) -> str:
    """The edit that answers what splitting the tasks raised."""
    found = _KEY.match(error.problem)
    key = found[2] if found is not None else ""
    if not key.endswith("_file"):
        return edit(root, "split", "smaller shares, such as holdout = 0.3 and test = 0")
    file = root / str(getattr(config.split, key))
    if file.is_file():
        return by_hand(root, f"correct {file}: a line for each task, by its id, and some tasks left to train on")
    return edit(root, "split", f'{key} = "FILE" with the file\'s place, or leave {key} out')


def _value(config: Config, found: re.Match[str], said: str) -> str:
    """The line of lorimer.toml that sets a key of [benchmark.hf]."""
    key, takes = found[2], _TAKES.get(found[0])
    if " is for " in said or "an image is set too" in said:
        return f"leave out {key}"
    settings = config.benchmark.hf.scorer if found[1].endswith("scorer") else config.benchmark.hf
    written, meant = getattr(settings, key, ""), _MEANT.search(said)
    if meant is not None and meant[1] == written:
        return f'{key} = "{meant[2]}"'
    # The rest of a template is not doctor's to write: the message says which column in it is wrong.
    if takes is None or (isinstance(written, str) and "{" in written):
        return f"correct {key}, as said above"
    return f"{key} = {takes}"


def _without_key(root: Path, config: Config, said: str) -> str:
    """What to do where the message names the benchmark, or a file or a folder of it."""
    if "[benchmark] limit" in said:
        return edit(root, "benchmark", "limit = 100")
    path = Path(said.partition(": ")[0])
    return by_hand(root, f"correct {path}") if path.is_file() else _source(root, config)


def _source(root: Path, config: Config) -> str:
    """The line that names the benchmark, in the form of the kind that is meant."""
    form = KINDS.get(config.benchmark.source.partition(":")[0].strip(), "")
    if ":" not in form:
        return edit(root, "benchmark", " or ".join(f'source = "{form}"' for form in KINDS.values()))
    place = "the folder's place" if form.endswith(":DIR") else "the place of the data, or the name of a set on the hub"
    return edit(root, "benchmark", f'source = "{form}" with {place}')
