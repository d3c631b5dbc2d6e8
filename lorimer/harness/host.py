"""Runs a harness file inside the jail and speaks for it over the pipe.

The wire is one JSON object a line (docs/wire.md): requests `{"id", "method", "params"}` go out on the dup of fd 1 that this
module keeps for itself, answers `{"id", "result"}` or `{"id", "error": {"code", "message"}}` come in on a dup of fd 0.
`print` goes to stderr, which lorimer traces and caps. A line
`{"ran": [[first, last], ...]}` goes out before a request where lines of agent.py have run that had not before, and where lorimer
asks for it with `{"tell": "lines"}`. This module imports the standard library and what of lorimer is in the jail.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import itertools
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from lorimer.harness import api
from lorimer.harness.ran import Lines

CHUNK = 4 << 20  # bytes of a file in one line; base64 makes it 5.3 MiB, well under the wire's 16 MiB

CUT_OFF = 75
"""Exit code of a harness whose stdin ended: the host hung up, or the connection to it broke. As sysexits' EX_TEMPFAIL."""

BOOTSTRAP = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json, os
pipe = os.fdopen(os.dup(0), "rb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
line = pipe.readline()
if not line:
    sys.exit(75)
start = json.loads(line)
root = os.path.join(os.environ["HOME"], "harness")
for name, text in start["files"].items():
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
sys.path.insert(0, root)
if start.get("shadows"):
    from lorimer.harness import shadow
    shadow.main(pipe, start["files"], root)
if "began" in start:
    from lorimer.harness import shadow
    shadow.rerun(pipe, start["task"], os.path.join(root, "agent.py"), start["began"])
from lorimer.harness import host
host.main(pipe, start["task"], os.path.join(root, "agent.py"))
"""
"""What a jail runs as `python3 -c`. It takes its files from the first line on stdin, so nothing is mounted or copied in and
a jail can be started before anyone knows which harness it will run."""

# -s: no user site; -S: no site-packages, so what the image has installed does not matter. Not -I: it would not read the seed of
# hashes, and a jail's environment holds no other variable of Python's.
ARGV = ("python3", "-s", "-S", "-B", "-u", "-c", BOOTSTRAP)


class Wire:
    """Requests out, answers in. Calls may come from several threads."""

    def __init__(self, reader: BinaryIO, writer: io.FileIO) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._lines: Lines | None = None
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def call(self, method: str, params: dict[str, Any]) -> Any:
        answer: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:  # ids must rise on the wire
            number = next(self._ids)
            self._about_to_ask()
            # No NaN: it is not JSON, and would end the trial where a ValueError here tells the harness.
            asked = {"id": number, "method": method, "params": params}
            line = json.dumps(asked, allow_nan=False, default=fields_of).encode() + b"\n"
            self._waiting[number] = answer
            self._tell_lines()
            self._write(line)
        reply = answer.get()
        error = reply.get("error")
        if error is None:
            return reply.get("result")
        code, message = error["code"], error["message"]
        if code == "limit":
            raise api.LimitReached(message)
        if code == "env":
            raise api.EnvError(message)
        raise ValueError(message)

    def tell_of(self, lines: Lines) -> None:
        """Which of these lines have run goes out from now on."""
        self._lines = lines

    def _tell_lines(self) -> None:
        """Tell the host which lines ran since the last time. The caller holds the lock."""
        fresh = self._lines.fresh() if self._lines is not None else []
        if fresh:
            self._write(json.dumps({"ran": fresh}).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        sent = 0
        while sent < len(line):
            sent += self._writer.write(line[sent:])

    def _about_to_ask(self) -> None:
        """A request is written next; the lock is held."""

    def _heard(self, reply: dict[str, Any]) -> None:
        """An answer came in; whoever asked is told next."""

    def _listen(self) -> None:
        for line in self._reader:
            reply = json.loads(line)
            self._heard(reply)
            if "tell" in reply:
                with self._lock:
                    self._tell_lines()
                continue
            waiting = self._waiting.pop(reply.get("id"), None)
            if waiting is not None:
                waiting.put(reply)
        os._exit(CUT_OFF)  # end of stdin means stop


def fields_of(value: object) -> dict[str, Any]:
    """What JSON shall have of a message or whatever else is none of its types. Raises TypeError for what is no data class.

    A conversation goes over the wire with every call, and copying it first, as `dataclasses.asdict` does, took twice as long.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


class _Llm:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def complete(
        self,
        messages: Sequence[api.Message],
        *,
        system: str | None = None,
        tools: Sequence[api.Tool] = (),
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float | None = None,
        effort: api.Effort | None = None,
        schema: Mapping[str, Any] | None = None,
        tool_choice: api.ToolChoice | None = None,
    ) -> api.Completion:
        params: dict[str, Any] = {
            "messages": _of_kind("messages", messages, api.Message, "user(), assistant(), system() or tool_result()"),
            "system": system,
            "tools": _of_kind("tools", tools, api.Tool, "Tool(name=…, description=…, parameters=…)"),
            "max_tokens": max_tokens,
            "stop": [stop] if isinstance(stop, str) else list(stop),
            "temperature": temperature,
            "effort": effort,
        }
        if schema is None and tool_choice is None:
            return _completion(self._wire.call("llm.complete", params))
        params |= {"schema": None if schema is None else dict(schema), "tool_choice": tool_choice}
        from lorimer.harness import structured

        return structured.checked(_completion(self._wire.call("llm.complete", params)), schema, tool_choice)


def _of_kind(what: str, given: Sequence[Any], kind: type, made_by: str) -> list[Any]:
    """The messages or tools of a call. Raises TypeError, as for a provider's own dictionaries."""
    if isinstance(given, str):
        raise TypeError(f"llm.complete: {what} is a text; give a list, of which each is made by {made_by}")
    for number, each in enumerate(given):
        if not isinstance(each, kind):
            raise TypeError(f"llm.complete: {what}[{number}] is a {type(each).__name__}; make it by {made_by}")
    return list(given)


class _Env:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> api.ExecResult:
        return api.ExecResult(**self._wire.call("env.exec", {"command": command, "timeout": timeout, "cwd": cwd}))

    def read(self, path: str) -> bytes:
        reply = self._wire.call("env.read", {"path": path})
        data = bytearray(base64.b64decode(reply["data"]))
        while reply["handle"]:
            reply = self._wire.call("env.read", {"handle": reply["handle"]})
            data += base64.b64decode(reply["data"])
        return bytes(data)

    def read_text(self, path: str) -> str:
        return self.read(path).decode("utf-8", "replace")

    def write(self, path: str, data: bytes | str) -> None:
        if not isinstance(data, str | bytes | bytearray | memoryview):
            # `bytes` of a number is so many NULs.
            raise TypeError(f"env.write: data is a {type(data).__name__}; give a text or bytes")
        raw = data.encode() if isinstance(data, str) else bytes(data)
        handle = ""
        for start in range(0, max(len(raw), 1), CHUNK):
            chunk = base64.b64encode(raw[start : start + CHUNK]).decode()
            more = start + CHUNK < len(raw)
            reply = self._wire.call("env.write", {"path": path, "data": chunk, "handle": handle, "more": more})
            handle = reply["handle"]


def _completion(value: dict[str, Any]) -> api.Completion:
    message = value["message"]
    return api.Completion(
        message=api.Message(
            role=message["role"],
            text=message["text"],
            reasoning=tuple(api.Reasoning(**block) for block in message["reasoning"]),
            tool_calls=tuple(api.ToolCall(**call) for call in message["tool_calls"]),
        ),
        stop_reason=value["stop_reason"],
        usage=api.Usage(**value["usage"]),
        error=value["error"],
    )


def load_file(path: str, lines: Lines) -> Any:
    """Import agent.py, whose lines are watched, and return its `solve`."""
    spec = importlib.util.spec_from_file_location("agent", path)
    if spec is None or spec.loader is None:
        raise ImportError("agent.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["agent"] = module
    exec(lines.compiled(Path(path).read_bytes(), path), module.__dict__)  # noqa: S102 - the harness
    return getattr(module, "solve", None)


def main(
    reader: BinaryIO,
    task: dict[str, Any] | None,
    agent: str,
    *,
    load: Callable[[str, Lines], Any] = load_file,
    speaks: type[Wire] = Wire,
) -> None:
    """Run the harness to its end. With no task it is only loaded: a dry start."""
    writer = io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    wire = speaks(reader, writer)
    api._note_hook = lambda text: wire.call("note", {"text": str(text)})
    lines = Lines()
    if task is not None:
        wire.tell_of(lines)
    try:
        solve = load(agent, lines)
        if not callable(solve):
            finish = {"status": "bad_return", "answer": "", "detail": "agent.py defines no function `solve`"}
        elif task is None:
            finish = {"status": "returned", "answer": "", "detail": ""}
        else:
            answer = solve(api.Task(**task), _Env(wire), _Llm(wire))
            if isinstance(answer, str):
                finish = {"status": "returned", "answer": answer, "detail": ""}
            else:
                kind = type(answer).__name__
                finish = {"status": "bad_return", "answer": "", "detail": f"solve returned {kind}, not str"}
    except BaseException:  # noqa: BLE001 - the boundary of untrusted code: whatever it raised is its own outcome
        finish = {"status": "exception", "answer": "", "detail": traceback.format_exc()[-20_000:]}
    sys.stderr.flush()
    wire.call("finish", finish)
    os._exit(0)
