#!/usr/bin/env python3
"""Write the reference pages from the code: docs/commands.md from the command line, docs/configuration.md from the settings.

`python tools/reference.py` writes them; a test holds them true.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lorimer import cli
from lorimer.config import settings as config
from lorimer.config.providers import ProviderSettings

DOCS = Path(__file__).resolve().parent.parent / "docs"

COMMANDS = """# Commands

Every command but `init` and `demo` works in the folder of a `lorimer.toml`, here or where `-C` points. `--json` prints JSON:
a listing as one value; of a command that runs for a while, each event as a line (`{{"event": ...}}`) and the result as the last
(`{{"event": "Result", "result": ...}}`). Without it, progress is two live lines on a terminal and plain lines elsewhere.

| exit code | meaning |
|---|---|
| 0 | done; also where nobody reads the rest of a listing or of a finished study's result |
| 1 | anything else: found bad tasks, a study paused by an outage or as nobody reads what it prints any more, a bug |
| 2 | bad input: a wrong option, setting, name or file |
| 3 | something is missing on this machine; the message has the fix |
| 4 | `lorimer ab` alone: the gate does not find the second file better |
| 130 | stopped by Ctrl-C, SIGTERM or a closed terminal (SIGHUP); what has finished is kept |

An error is one line on stderr. `--debug`, anywhere in the command, shows the traceback instead.

This page is made by `tools/reference.py`.
"""

CONFIGURATION = """# Configuration

`lorimer.toml` lies in the root of a workspace. Every key has a default; an unknown key or a wrong value is an error that names
the key. `--set TABLE.KEY=VALUE` sets one for a single command (the value is TOML; what is not TOML is taken as a string).
Relative paths start at the folder of `lorimer.toml`.

A study keeps the settings that it began with. What `--set` and `--candidates` gave then belongs to them, and so does the sandbox
that `auto` chose. `lorimer resume` can change `[budget]`, `[providers]`, `[executor]`, `[search] width`, `[sandbox] concurrency`
and `[sandbox] warm`: it takes what `--set` names, and each of these keys that `lorimer.toml` gives another value than when the
study began or was last resumed.
Every change is said, stored and chained ([the audit trail](audit-trail.md)). Any other key that differs is refused by name.
`[notify]` is kept with no study: what it says when a process starts holds.

The store of an older lorimer does not hold what `lorimer.toml` said. Such a study keeps what it has, and `lorimer resume` says
where the file differs.

Keys (secrets) never stand here: `key_env` names the environment variable that holds one, and `${NAME}` in a header's value does.

This page is made by `tools/reference.py`.
"""


def commands() -> str:
    """The text of docs/commands.md."""
    parts = [COMMANDS.format()]
    for path, command in walk(typer.main.get_command(cli.app), "lorimer"):
        parts += [f"## {path}", "", " ".join((command.help or "").split()), ""]
        parts += ["```", usage(path, command), "```", ""]
        rows = [row(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts += ["| option | default | what |", "|---|---|---|", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below `command` with its full name; groups only where they have options of their own."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    if any(parameter.name != "help" for parameter in command.params):
        yield path, command
    for name, child in children.items():
        yield from walk(child, f"{path} {name}")


def usage(path: str, command: Any) -> str:
    """One line, as the help page has it."""
    with command.make_context(path, [], resilient_parsing=True) as context:
        return " ".join([path, *command.collect_usage_pieces(context)])


def row(parameter: Any) -> str:
    """A parameter as a row of a table."""
    is_argument = parameter.param_type_name == "argument"
    names = parameter.name.upper() if is_argument else ", ".join(sorted(parameter.opts, key=len))
    shown = parameter.show_default
    default = shown if isinstance(shown, str) else plain(parameter.default)
    if parameter.required:
        default = "required"
    return f"| `{names}` | {default} | {parameter.help or ''} |"


def plain(value: Any) -> str:
    if value is None or value is False or value == Path():
        return ""
    return f"`{value}`"


def configuration() -> str:
    """The text of docs/configuration.md."""
    parts = [CONFIGURATION]
    for name, field in config.Config.model_fields.items():
        if name == "providers":
            parts += table("providers.NAME", ProviderSettings)
        else:
            assert isinstance(field.annotation, type)
            parts += table(name, field.annotation)
    return "\n".join(parts).rstrip() + "\n"


def table(path: str, model: type[BaseModel]) -> list[str]:
    """One table of lorimer.toml and the tables inside it."""
    said = " ".join((model.__doc__ or "").split()).partition("]")[2].lstrip(": ")
    lines = [f"## [{path}]", ""]
    lines += [said[:1].upper() + said[1:], ""] if said else []
    lines += ["| key | default | type | what |", "|---|---|---|---|"]
    words, inner = docstrings(model), []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner += ["", *table(f"{path}.{name}", field.annotation)]
            continue
        lines.append(f"| `{name}` | {default(field)} | {kind(field)} | {words.get(name) or MORE[f'{path}.{name}']} |")
    return [*lines, *inner, ""]


def default(field: FieldInfo) -> str:
    value = field.default
    return "unset" if value is None else f"`{json.dumps(value)}`"


def kind(field: FieldInfo) -> str:
    """The type with its bounds, in words."""
    options = [option for option in (get_args(field.annotation) or (field.annotation,)) if option is not type(None)]
    if get_origin(field.annotation) is Literal:
        said = literal(field.annotation)
    elif get_origin(field.annotation) is tuple:
        item = options[0]
        said = (
            f"list of {literal(item)}"
            if get_origin(item) is Literal
            else f"list of {'integers' if item is int else 'strings'}"
        )
    elif get_origin(field.annotation) is dict:
        said = "table of strings" if options[-1] is str else "table"
    else:
        names = {
            tuple[float, float]: "`[low, high]`",
            int: "integer",
            float: "number",
            str: "string",
            bool: "true or false",
        }
        said = " or ".join(literal(each) if get_origin(each) is Literal else names[each] for each in options)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {getattr(bound, key):g}"
        for bound in field.metadata
        for key, sign in signs.items()
        if hasattr(bound, key)
    ]
    return " ".join([said, ", ".join(bounds)]).strip()


def literal(annotation: Any) -> str:
    return ", ".join(f"`{json.dumps(option)}`" for option in get_args(annotation))


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field, as the source has it."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for at, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(at, ast.AnnAssign) and isinstance(at.target, ast.Name) and isinstance(after, ast.Expr):
            value = ast.literal_eval(after.value)
            found[at.target.id] = " ".join(value.split())
    return found


MORE = {
    "study.seed": "Of the split, the sample and the simulated model's luck.",
    "study.harness": "The file that is improved.",
    "study.program": "Direction for the meta-agent, in plain English.",
    "benchmark.exclude": "Task ids or patterns to leave out.",
    "benchmark.hf.instruction": "What the agent is told.",
    "benchmark.hf.category": "For the split, so that both sides have their share.",
    "benchmark.hf.difficulty": "The same, within a category.",
    "benchmark.hf.workdir": "Where the agent's commands start.",
    "benchmark.hf.network": "Whether the container has one.",
    "benchmark.hf.cpus": "Of the container; unset: no limit of its own.",
    "benchmark.hf.memory_mb": "The same.",
    "benchmark.hf.agent_seconds": "The agent's time, where `[limits] seconds` is not shorter.",
    "benchmark.hf.scorer.kind": "See docs/benchmarks.md.",
    "benchmark.hf.scorer.marker": "What `marker` looks for.",
    "models.task": "`PROVIDER/NAME`: what solves the tasks.",
    "providers.NAME.api": "What the server speaks: Chat Completions, OpenAI's Responses, or Anthropic's Messages.",
    "providers.NAME.base_url": "Address, such as `http://127.0.0.1:8080/v1`. Unset: the provider's own.",
    "providers.NAME.context_window": "Tokens. A prompt that cannot fit is refused here: some servers cut it in silence.",
    "providers.NAME.usd_per_million_input": "Your price, for every model of this provider. Set both or none.",
    "providers.NAME.usd_per_million_output": "The same for output tokens.",
    "providers.NAME.retry.initial_seconds": "The first wait; it doubles from there, with jitter.",
    "providers.NAME.retry.maximum_seconds": "The longest wait of lorimer's own choosing.",
    "limits.calls": "Model calls.",
    "limits.usd": "Dollars. Needs a known price.",
    "sandbox.provider": "`auto` takes docker if an engine answers, else bubblewrap.",
    "sandbox.runtime": "Docker's runtime for containers, such as `runsc`; unset is the engine's own.",
    "jail.provider": "What makes the jails. `auto` takes bubblewrap beside Docker's sandboxes where that bounds a jail as "
    "well as Docker does (docs/sandboxes.md), else what makes the sandboxes.",
    "jail.image": "Docker's jails only; needs Python 3.10 or newer. One of your own keeps the jails of `auto` on Docker.",
    "jail.memory_mb": "Memory of a jail.",
    "jail.pids": "Processes and threads in a jail.",
    "jail.cpus": "Processors of a jail. With bubblewrap only where it can make a control group.",
    "gate.policy": "`strict` asks for a higher mean alone, which luck passes nearly half the time.",
    "gate.alpha": "How often an edit without effect may be promoted, per candidate.",
    "budget.candidates": "Candidates to try.",
    "budget.usd": "Dollars, of both models. Needs known prices.",
    "budget.tokens": "Input plus output, of both models.",
    "budget.hours": "Hours of work; time between a stop and a resume does not count.",
    "budget.trials": "Trials, every attempt.",
    "meta.max_tokens": "Output tokens of one call.",
    "meta.max_harness_bytes": "The largest harness that an edit may leave.",
}
"""What the source says nothing of, as the name says it to who reads the source."""


if __name__ == "__main__":
    (DOCS / "commands.md").write_text(commands(), encoding="utf-8")
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")
