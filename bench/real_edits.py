"""What a preview says of real edits on a real model, and what was true.

A harness solves tasks once with a language model on this machine, and its trials are recorded. Then it is replayed unchanged
(`lorimer doctor --replay`), and three edits of it are previewed: one that reads fenced blocks of shell as commands, one that asks
again after an empty answer, and one that rewords the prompt. At last the harness and each edit solve the same tasks live, and
every live trial is laid beside the recorded one, call by call. An edit *touches* a trial where the first difference lies in what
the harness asked for; where the same request was answered differently it is chance (the model's, or a command's).

The model answers greedily and one request at a time, so that the recorded trials can come again to the last call. How many do
with the harness unchanged is in the first row: it bounds what can be said of the others.

    python -m bench.real_edits TASKS URL MODEL [NUMBER]

TASKS is a folder of Harbor-format tasks, URL that of an OpenAI-compatible server such as http://127.0.0.1:8091/v1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.wired import Gap, Record

LORIMER = Path(sys.executable).with_name("lorimer")
TASKS = 10

CALLS = 6
"""Model calls per trial. A model of this size that has not solved such a task by then goes round in circles."""

TOKENS = 512
"""Output tokens per call: twice what any of these functions takes, and under a minute at ten tokens per second."""

EDITS: Mapping[str, tuple[str, str]] = {
    "unchanged": ("", ""),
    "read fenced blocks": (
        '            return (ToolCall(id="text", name=value["name"], arguments=value["arguments"]),)\n    return ()\n',
        '            return (ToolCall(id="text", name=value["name"], arguments=value["arguments"]),)\n'
        '    block = re.search(r"```(?:bash|sh|shell)\\n(.*?)```", completion.text, re.DOTALL)\n'
        '    return (ToolCall(id="text", name=SHELL.name, arguments={"command": block.group(1)}),) if block else ()\n',
    ),
    "retry on an empty answer": (
        "            answer = completion.text\n",
        "            answer = completion.text\n"
        "            if not answer.strip() and not completion.tool_calls:\n"
        '                messages.append(user("Your answer was empty. Answer again."))\n'
        "                continue\n",
    ),
    "a reworded prompt": (
        "Run shell commands with the `shell` tool to do the task.",
        "Do the task with shell commands, which the `shell` tool runs for you.",
    ),
}
"""What each edit replaces in the harness `plain`, by its name."""


@dataclass(frozen=True)
class Live:
    """A live trial beside the recorded one of its task."""

    step: int | None
    """The first call that is different, from 1; `None` where none is."""
    chance: bool
    """Whether its request is the recorded one and only the answer differs."""

    def __str__(self) -> str:
        if self.step is None:
            return "untouched"
        return f"chance at step {self.step}" if self.chance else f"touched at step {self.step}"


def lorimer(folder: Path, *words: str) -> str:
    """Run a command in the workspace. Raises SystemExit with its own words where it fails."""
    done = subprocess.run([LORIMER, *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: lorimer {' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def workspace(folder: Path, tasks: Path, url: str, model: str, number: int) -> None:
    lorimer(folder, "init", ".", "--benchmark", f"harbor:{tasks}", "--harness", "plain", "--own-repository")
    (folder / "lorimer.toml").write_text(
        f"""
[benchmark]
source = "harbor:{tasks}"
limit = {number}
[models]
task = "local/{model}"
[providers.local]
api = "chat"
base_url = "{url}"
max_tokens = {TOKENS}
extra_body = {{ temperature = 0, cache_prompt = false }}
[limits]
calls = {CALLS}
[sandbox]
concurrency = 1
"""
    )


def side_by_side(recorded: Record, live: Record) -> Live:
    """The first difference between two trials, call by call."""
    before, after = ([call for part in record.parts for call in part.calls] for record in (recorded, live))
    for step, (old, new) in enumerate(zip(before, after, strict=False), 1):
        if old.request.key != new.request.key:
            return Live(step, chance=False)
        if old.answer != new.answer:
            return Live(step, chance=True)
    return Live(None if len(before) == len(after) else min(len(before), len(after)) + 1, chance=False)


def trials_of(folder: Path, number: int) -> dict[str, tuple[Record | Gap, bool]]:
    """The record of each task's trial in the workspace's run of this number, and whether it solved the task."""
    with StoreReader(folder / STORE) as reader:
        trials = reader.trials(f"run-{number}", limit=None)
        records = reader.records([trial.id for trial in trials])
        return {trial.task: (records[trial.id], trial.reward == 1.0) for trial in trials}


def edited(text: str, name: str) -> str:
    """Raises SystemExit where the harness is not the one that the edit is of."""
    old, new = EDITS[name]
    if old not in text:
        raise SystemExit(f"bench: the harness does not hold what the edit {name!r} replaces")
    return text.replace(old, new, 1)


def said(row: Mapping[str, Any]) -> str:
    """A trial of a preview, in the words of `Live`."""
    return f"touched at step {row['step']}" if row["outcome"] == "touched" else str(row["outcome"])


def measure(folder: Path, name: str, number: int, seed: str) -> None:
    """Preview an edit, solve the tasks with it live, and print both beside each other."""
    file = folder / "harness" / "agent.py"
    text = edited(seed, name)
    file.write_text(text)
    before = trials_of(folder, 1)
    previewed = json.loads(lorimer(folder, "preview", str(file), "--study", "run-1", "--json"))
    lorimer(folder, "run", "--quiet")
    after = trials_of(folder, number)
    print(f"\n{name}: the preview says: {previewed['says']}")
    counts = Counter[str]()
    for row in sorted(previewed["trials"], key=lambda row: str(row["task"])):
        (old, was), (new, now) = before[row["task"]], after[row["task"]]
        live: Live | str = "no record" if isinstance(old, Gap) or isinstance(new, Gap) else side_by_side(old, new)
        agree = "told right" if said(row) == str(live) else "by chance" if "chance" in str(live) else "NOT told right"
        counts[agree] += 1
        solved = f"{'solved' if was else 'failed'}, then {'solved' if now else 'failed'}"
        print(f"  {row['task']:16} preview: {said(row):20} live: {live!s:20} {agree:15} {solved}")
    totals = [sum(solved for _, solved in side.values()) for side in (before, after)]
    print(f"  {dict(counts)}; solved {totals[0]} of {len(before)}, then {totals[1]}", flush=True)


def main() -> None:
    tasks, url, model = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    number = int(sys.argv[4]) if len(sys.argv) > 4 else TASKS
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "edits")
        folder.mkdir()
        workspace(folder, tasks, url, model, number)
        seed = (folder / "harness" / "agent.py").read_text()
        lorimer(folder, "run", "--quiet")
        print(lorimer(folder, "doctor", "--replay", "--study", "run-1"), end="", flush=True)
        for place, name in enumerate(EDITS):
            measure(folder, name, place + 2, seed)


if __name__ == "__main__":
    main()
