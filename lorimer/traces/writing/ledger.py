"""What the writer keeps of a trial's record: for each call of the harness its place, its times, and what no step holds.

A record holds no text that the trace holds: a call refers to its step, and what the step has cut is kept as the missing middle.
Files that were read and written, which no step holds, are kept by the hash of their content. A text in which a secret was masked
is not kept, and neither is any digest of it, by which a short secret could be guessed: the call has a gap then, and says why.

One entry of `record.body["parts"][i]["calls"]`, fields that hold nothing left out:
    call      the method, for `llm.complete`, `env.exec`, … the wire's name
    at, end   seconds since the part began when it was asked and answered; `end` is missing where it was not
    step      the index of the step that tells of it
    refused   code and message, where the answer is an error value
    timeout   seconds (`env.exec`); path (files); status, detail, answer (`finish`; `trial` is the one in the trial's row)
    blob      the hash of the bytes that were read or written, of a note, of an answer, of parameters that fit nothing
    cut       by the name of a text that the step holds with a cut: characters of its head, of its tail, and the middle's hash
    gap       why the call cannot be replayed
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lorimer.harness.api import ExecResult
from lorimer.traces import codec, wired
from lorimer.traces.scrub import Cleaner

MAX_RECORD_BYTES = 16 << 20
"""What the record of one trial may add beside its steps: two files of the greatest size that a harness can read."""

MASKED = "held a secret, which is not kept"
PIECES = "is a piece of a file of over 4 MiB, which is not kept"
LARGE = f"is not kept: the record of the trial is over {MAX_RECORD_BYTES >> 20} MiB"

PutBlob = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Noted:
    """The step of a call that is not answered yet."""

    index: int
    data: Mapping[str, Any]
    """The entry's content in the form in which it is stored."""
    exact: bool
    """Nothing in it was masked."""


@dataclass
class RecordWriter:
    """The record of one trial as it is written. `put` takes the bytes that no step holds, by their hash."""

    cleaner: Cleaner
    parts: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)
    """The index of the step of each call that has one, by the call's number."""
    _noted: dict[int, Noted] = field(default_factory=dict)
    _answer: tuple[dict[str, Any], str] | None = None
    _bytes: int = 0

    def begin(self, part: wired.WirePart, put: PutBlob) -> None:
        """The harness is started."""
        entry: dict[str, Any] = {
            "workdir": part.task.workdir,
            "seconds": part.task.seconds,
            "max_calls": part.task.max_calls,
            "max_tokens": part.max_tokens,
            "exec_seconds": part.exec_seconds,
            "began": round(part.began, 3),
            "calls": [],
        }
        self._keep_text(entry, part.task.instruction, put)
        self.parts.append(entry)

    def note(self, call: int, noted: Noted) -> None:
        """The step of a call is stored."""
        self._noted[call] = noted

    def add(self, call: wired.WireCall, put: PutBlob) -> None:
        """A call was answered, or will not be."""
        noted = self._noted.pop(call.number, None)
        entry: dict[str, Any] = {
            "number": call.number,
            "call": wired.method_of(call.request),
            "at": round(call.asked, 3),
        }
        if call.answer is not None:
            entry["end"] = round(call.answered, 3)
        if isinstance(call.answer, wired.RefusedCall):
            entry["refused"] = [call.answer.code, self._clean(entry, call.answer.message)]
        if noted is not None:
            entry["step"] = self.steps[call.number] = noted.index
            if not noted.exact:
                entry["gap"] = MASKED
        self._say(entry, call, noted, put)
        if self.parts:
            self.parts[-1]["calls"].append(entry)

    def body(self, answer: str, put: PutBlob) -> dict[str, Any]:
        """All of it, to be stored; `answer` is what the trial's own row keeps of the harness's last answer."""
        if self._answer is not None:
            entry, said = self._answer
            if said == answer:
                entry["answer"] = "trial"
            else:
                self._keep_text(entry, said, put)
        for part in self.parts:  # answered in any order; kept in the order of issue
            part["calls"] = [
                {name: value for name, value in entry.items() if name != "number"}
                for entry in sorted(part["calls"], key=lambda entry: entry["number"])
            ]
        return {"parts": self.parts}

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _say(self, entry: dict[str, Any], call: wired.WireCall, noted: Noted | None, put: PutBlob) -> None:
        request = call.request
        if isinstance(request, wired.Complete):
            if noted is None:  # it was refused here, before any model saw it
                self._keep_text(entry, codec.canonical(_complete_body(request)), put)
        elif isinstance(request, wired.Exec):
            self._say_exec(entry, request, call.answer, noted, put)
        elif isinstance(request, wired.Read | wired.Write):
            entry["path"] = self._clean(entry, request.path)
            onwards = call.answer.handle if isinstance(call.answer, wired.ReadPiece | wired.OpenedWrite) else ""
            if request.handle or onwards:  # a key could lie across two pieces, and be found in neither
                entry["gap"] = PIECES
            elif isinstance(request, wired.Write):
                self._keep(entry, request.data, put)
            elif isinstance(call.answer, wired.ReadPiece):
                self._keep(entry, call.answer.data, put)
        elif isinstance(request, wired.Note):
            if noted is None or noted.data["text"] != request.text:
                self._keep_text(entry, request.text, put)
        elif isinstance(request, wired.Finish):
            entry["status"] = request.status
            entry |= {"detail": self._clean(entry, request.detail)} if request.detail else {}
            if self._answer is not None:  # of a part before; the trial's row keeps the last one alone
                self._keep_text(self._answer[0], self._answer[1], put)
            self._answer = entry, request.answer
        else:
            self._keep_text(entry, codec.canonical(request.params), put)

    def _say_exec(
        self,
        entry: dict[str, Any],
        request: wired.Exec,
        answer: wired.Answer | None,
        noted: Noted | None,
        put: PutBlob,
    ) -> None:
        entry["timeout"] = request.timeout
        if noted is None:
            said = dataclasses.asdict(answer) if isinstance(answer, ExecResult) else None
            self._keep_text(entry, codec.canonical({"command": request.command, "cwd": request.cwd, "said": said}), put)
            return
        texts = {"command": request.command}
        if isinstance(answer, ExecResult):
            texts |= {"stdout": answer.stdout, "stderr": answer.stderr}
        for name, text in texts.items():
            if noted.exact and noted.data[name] != text:
                self._keep_middle(entry, name, text, noted.data[name], put)

    def _keep_middle(self, entry: dict[str, Any], name: str, text: str, held: str, put: PutBlob) -> None:
        """Keep what the step's text `held` lacks of `text`."""
        if self.cleaner.scrub(text) != text:
            entry["gap"] = MASKED
            return
        head = _common(text, held)
        tail = _common(text[head:][::-1], held[head:][::-1])
        middle = text[head : len(text) - tail]
        sha = self._put(entry, encoded(middle), put)
        if sha is not None:
            entry.setdefault("cut", {})[name] = [head, tail, sha]

    def _keep_text(self, entry: dict[str, Any], text: str, put: PutBlob) -> None:
        if not text:
            return
        if self.cleaner.scrub(text) != text:
            entry["gap"] = MASKED
        else:
            self._keep(entry, encoded(text), put, clean=True)

    def _keep(self, entry: dict[str, Any], data: bytes, put: PutBlob, *, clean: bool = False) -> None:
        if not data:
            return
        if not clean:
            # Every byte is a character of Latin-1, so keys are found in files of any kind.
            text = data.decode("latin-1")
            if self.cleaner.scrub(text) != text:
                entry["gap"] = MASKED
                return
        sha = self._put(entry, data, put)
        if sha is not None:
            entry["blob"] = sha

    def _put(self, entry: dict[str, Any], data: bytes, put: PutBlob) -> str | None:
        self._bytes += len(data)
        if self._bytes > MAX_RECORD_BYTES:
            entry["gap"] = LARGE
            return None
        sha = hashlib.sha256(data).hexdigest()
        put(sha, packed(data))
        return sha

    def _clean(self, entry: dict[str, Any], text: str) -> str:
        clean = self.cleaner.scrub(text)
        if clean != text:
            entry["gap"] = MASKED
        return clean


def encoded(text: str) -> bytes:
    """A text as bytes; a lone surrogate too, which a model may send."""
    return text.encode("utf-8", "surrogatepass")


def packed(data: bytes) -> bytes:
    """Content as it is stored: `z` and a deflated stream, or `r` and the bytes themselves where that is no longer."""
    small = zlib.compress(data, 1)  # the fastest level: texts shrink to a third, and the writer's thread has other work
    return b"z" + small if len(small) < len(data) else b"r" + data


def unpacked(stored: bytes) -> bytes:
    """What `packed` was given."""
    return zlib.decompress(stored[1:]) if stored[:1] == b"z" else stored[1:]


def _complete_body(request: wired.Complete) -> dict[str, Any]:
    return {
        "messages": [codec.encode_message(message) for message in request.messages],
        "system": request.system,
        "tools": codec.encode_tools(request.tools),
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
        "temperature": request.temperature,
        "effort": request.effort,
        **wired.structure(request.schema, request.tool_choice),
    }


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with together."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
