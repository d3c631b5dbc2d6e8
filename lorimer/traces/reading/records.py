"""Reads records back: each call of a harness with its answer exactly as the harness got it, from the trial's steps and what the
ledger kept beside them.

A trial of which anything is missing is a `Gap` that says what: it never comes back as less than it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lorimer.errors import UserError
from lorimer.harness.api import Completion, ExecResult, Task
from lorimer.kinds import TrialState
from lorimer.traces import codec, wired
from lorimer.traces.databases.base import Plain
from lorimer.traces.wired import Gap, GapKind, Record, RecordedCall, RecordedPart
from lorimer.traces.writing.ledger import LARGE, MASKED, PIECES, unpacked

_ROW = (
    "SELECT state, cause, detail, trial.answer, recorded_trial <> '' AND ran_whole = '', condition.answered FROM trial "
    "LEFT JOIN condition ON condition.id = trial.condition WHERE trial.id = ?"
)
_DROPPED = "SELECT 1 FROM chain WHERE kind = 'dropped' AND study = (SELECT study FROM trial WHERE id = ?) LIMIT 1"
_MESSAGES = "SELECT sha, body FROM message WHERE sha IN (SELECT value FROM json_each(?))"
_BLOBS = "SELECT sha, data FROM blob WHERE sha IN (SELECT value FROM json_each(?))"


_KINDS: dict[str, GapKind] = {MASKED: "masked", PIECES: "large", LARGE: "large"}
"""The kind of a gap, keyed by what an entry says of it."""


class _Missing(Exception):
    """Something of a record is not there; the words are a clause for people."""

    def __init__(self, kind: GapKind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class _Held(dict[Any, Any]):
    """Rows by their keys; one that is asked for and missing is a gap."""

    def __missing__(self, key: Any) -> Any:
        raise _Missing("lost", "a part of its record is not in the trace store any more")


def read(connection: Plain, trials: Sequence[str]) -> dict[str, Record | Gap]:
    """The records of these trials. Raises UserError for a trial that is not there."""
    return {trial: _one(connection, trial) for trial in trials}


def _one(connection: Plain, trial: str) -> Record | Gap:
    row = connection.execute(_ROW, [trial]).fetchone()
    if row is None:
        raise UserError(f"there is no trial {trial} in the trace store")
    state, cause, detail, answer, recorded, named = row
    if state != TrialState.SCORED.value:
        why = f"it is {state}: {detail or cause}" if state != "running" else "it is still running"
        return Gap(trial, "unscored", why)
    if recorded:
        return Gap(trial, "continued", "it was answered in part from the record of another trial")
    body = connection.execute("SELECT body FROM record WHERE trial = ?", [trial]).fetchone()
    if body is None and connection.execute(_DROPPED, [trial]).fetchone() and not _has_steps(connection, trial):
        return Gap(trial, "dropped", "its steps and its record were dropped, as [store] keep says")
    if body is None:
        return Gap(trial, "unrecorded", "it has no record: an older lorimer ran it, or no harness acted in it")
    try:
        read = _Reading(connection, trial, cause, answer, json.loads(body[0])["parts"])
        return Record(trial, read.parts(), tuple(json.loads(named or "[]")))
    except _Missing as missing:
        return Gap(trial, missing.kind, str(missing))


def _has_steps(connection: Plain, trial: str) -> bool:
    return connection.execute("SELECT 1 FROM step WHERE owner = ? LIMIT 1", [trial]).fetchone() is not None


class _Reading:
    """One trial's rows, put together."""

    def __init__(
        self, connection: Plain, trial: str, cause: str, answer: str, parts: Sequence[Mapping[str, Any]]
    ) -> None:
        self._cause, self._answer, self._parts = cause, answer, parts
        entries = [entry for part in parts for entry in part["calls"]]
        found = connection.execute('SELECT "index", data FROM step WHERE owner = ? ORDER BY "index"', [trial])
        wanted = {entry["step"] for entry in entries if "step" in entry}
        # A model call goes on from others, so those that were not answered count too.
        steps = {index: data for index, text in found if "base" in (data := json.loads(text)) or index in wanted}
        self._steps = _Held(steps)
        self._messages = _Held()
        for index, data in steps.items():
            if "base" in data:
                before = [] if data["base"] is None else self._messages[data["base"]]
                self._messages[index] = before[: data["keep"]] + data["append"]
        shas = {sha for messages in self._messages.values() for sha in messages}
        for data in steps.values():
            shas |= {data[name] for name in ("completion", "system", "tools") if data.get(name)}
        self._bodies = _Held({sha: json.loads(text) for sha, text in _rows(connection, _MESSAGES, shas)})
        blobs = {entry["blob"] for entry in (*entries, *parts) if "blob" in entry}
        blobs |= {sha for entry in entries for *_, sha in entry.get("cut", {}).values()}
        self._blobs = _Held({sha: unpacked(data) for sha, data in _rows(connection, _BLOBS, blobs)})

    def parts(self) -> tuple[RecordedPart, ...]:
        if not self._parts:
            raise _Missing("unrecorded", "no harness acted in it")
        number, parts = 0, []
        for part in self._parts:
            if "gap" in part:
                raise _Missing("masked", f"its task {MASKED}")
            calls = part["calls"]
            if not calls or calls[-1]["call"] != "finish":
                raise _Missing("ended", f"its harness was ended before it finished ({self._cause})")
            made = []
            for entry in calls:
                number += 1
                made.append(self._call(number, entry, part))
            task = Task(self._text(part), part["workdir"], part["seconds"], part["max_calls"])
            parts.append(RecordedPart(task, part["max_tokens"], part["exec_seconds"], part["began"], tuple(made)))
        return tuple(parts)

    def _call(self, number: int, entry: Mapping[str, Any], part: Mapping[str, Any]) -> RecordedCall:
        if "gap" in entry:
            raise _Missing(_KINDS.get(entry["gap"], "lost"), f"call {number} ({entry['call']}) {entry['gap']}")
        key, request = self._request(entry, part)
        answer = self._said(entry)
        paid = self._of(entry) if isinstance(answer, Completion) else {"waited_seconds": 0.0, "cost_usd": 0.0}
        return RecordedCall(
            key,
            entry["call"],
            answer,
            entry["at"],
            entry.get("end", entry["at"]),
            request,
            waited=paid["waited_seconds"],
            usd=paid["cost_usd"],
        )

    def _request(
        self, entry: Mapping[str, Any], part: Mapping[str, Any]
    ) -> tuple[str, Callable[[], wired.WireRequest]]:
        method = entry["call"]
        if entry.get("refused", [""])[0] == "invalid":
            invalid = wired.InvalidCall(method, json.loads(self._text(entry)))
            return invalid.key, lambda: invalid
        if method == "llm.complete":
            return self._complete(entry, part)
        made: wired.WireRequest
        if method == "env.exec":
            made = self._exec(entry)
        elif method == "env.read":
            made = wired.Read(entry["path"])
        elif method == "env.write":
            made = wired.Write(entry["path"], self._data(entry))
        elif method == "note":
            made = wired.Note(self._text(entry) if "blob" in entry or "step" not in entry else self._of(entry)["text"])
        else:
            answer = self._answer if entry.get("answer") == "trial" else self._text(entry)
            made = wired.Finish(entry["status"], answer, entry.get("detail", ""))
        return made.key, lambda: made

    def _complete(
        self, entry: Mapping[str, Any], part: Mapping[str, Any]
    ) -> tuple[str, Callable[[], wired.WireRequest]]:
        if "step" not in entry:  # it was refused before any model saw it
            body = json.loads(self._text(entry))
            messages = tuple(codec.decode_message(message) for message in body["messages"])
            rest = body["max_tokens"], tuple(body["stop"]), body["temperature"], body["effort"]
            asked = body.get("schema"), body.get("tool_choice")
            refused = wired.Complete(messages, body["system"], codec.decode_tools(body["tools"]), *rest, *asked)
            return refused.key, lambda: refused
        step, shas = self._of(entry), self._messages[entry["step"]]
        settings = step["settings"]
        most = settings["max_tokens"] or part["max_tokens"]
        for sha in {*shas, step["system"], step["tools"]} - {None}:
            self._bodies[sha]  # that it is there, now and not when somebody looks

        def decode() -> wired.Complete:
            return wired.Complete(
                tuple(codec.decode_message(self._bodies[sha]) for sha in shas),
                self._bodies[step["system"]]["text"] if step["system"] else None,
                codec.decode_tools(self._bodies[step["tools"]]) if step["tools"] else (),
                most,
                tuple(settings["stop"]),
                settings["temperature"],
                settings["effort"],
                settings.get("schema"),
                settings.get("tool_choice"),
            )

        return wired.complete_key(shas, step["system"], step["tools"], most, settings), decode

    def _exec(self, entry: Mapping[str, Any]) -> wired.Exec:
        if "step" in entry:
            return wired.Exec(self._uncut(entry, "command"), entry["timeout"], self._of(entry)["cwd"])
        said = json.loads(self._text(entry))
        return wired.Exec(said["command"], entry["timeout"], said["cwd"])

    def _said(self, entry: Mapping[str, Any]) -> wired.Answer | None:
        if "refused" in entry:
            return wired.RefusedCall(*entry["refused"])
        if "end" not in entry:
            return None
        method = entry["call"]
        if method == "llm.complete":
            step = self._of(entry)
            completion: Completion = codec.decode_completion(self._bodies[step["completion"]], step)
            return completion
        if method == "env.exec":
            if "step" not in entry:
                return ExecResult(**json.loads(self._text(entry))["said"])
            step = self._of(entry)
            out, err = self._uncut(entry, "stdout"), self._uncut(entry, "stderr")
            return ExecResult(out, err, step["exit_code"], step["timed_out"], step["dropped"] > 0)
        if method == "env.read":
            return wired.ReadPiece(self._data(entry))
        return wired.OpenedWrite() if method == "env.write" else wired.Done()

    def _of(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._steps[entry["step"]]
        return found

    def _data(self, entry: Mapping[str, Any]) -> bytes:
        data: bytes = self._blobs[entry["blob"]] if "blob" in entry else b""
        return data

    def _text(self, entry: Mapping[str, Any]) -> str:
        return self._data(entry).decode("utf-8", "surrogatepass")

    def _uncut(self, entry: Mapping[str, Any], name: str) -> str:
        held: str = self._of(entry)[name]
        if name not in entry.get("cut", {}):
            return held
        head, tail, sha = entry["cut"][name]
        middle: bytes = self._blobs[sha]
        return held[:head] + middle.decode("utf-8", "surrogatepass") + held[len(held) - tail :]


def _rows(connection: Plain, question: str, shas: Iterable[str]) -> list[tuple[str, Any]]:
    return connection.execute(question, [json.dumps(sorted(shas))]).fetchall()
