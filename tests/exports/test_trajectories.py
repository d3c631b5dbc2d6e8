"""Trajectories for other tools, from a store filled by hand: each is read back as the other side would read it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.errors import UserError
from lorimer.exports.runtime.atif import LiveTrajectory
from lorimer.exports.traces.atif import file_name, trajectory
from lorimer.exports.traces.otlp import MOST_SPANS, made, requests
from lorimer.exports.trajectories import Selection, chosen, read, valid
from lorimer.exports.wrote import export, names
from lorimer.harness.api import Message, Reasoning, ToolCall, assistant, image, tool_result, user
from lorimer.harness.version import sha
from lorimer.kinds import Stage
from lorimer.models.base import ModelRequest
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import StepData, StepKind
from lorimer.traces.tables import Candidate
from lorimer.traces.writing.store import Store
from tests.cli.support import refused, typed
from tests.support.collector import attributes, collecting
from tests.traces.support import call, end, evaluation, finished_trial, ran, start, study, task

SEED, EDITED = "SEED\n", "EDITED\n"
ASKED = "Count the lines.\n"
SHELL = ToolCall("call_1", "shell", {"command": "wc -l a"})
ASKS = assistant("", [SHELL], [Reasoning("I count \ud83d them.")])
TOLD = tool_result(SHELL, "3 a", is_error=True)
DONE = assistant("There are 3.")
PICTURE = image(b"\x89PNG\r\n\x1a\nrest")
FIRST = "s/baseline/baseline/t#0/0"


async def fill(path: Path, **changes: Any) -> StoreReader:
    """A study whose first trial has a conversation by tool calls, a second one with a sub-agent, and one cut short; then a failed
    trial, one under way, and one of a sealed task."""
    with Store.open(path) as store:
        row = study(**{"seed_harness": sha(SEED), "state": "finished", **changes})
        await store.create_study(
            row, [task("t", instruction=ASKED), task("u", position=1), task("h", position=2, split="holdout")], SEED
        )
        await store.add_harness(sha(EDITED), EDITED)
        await store.add_candidate(
            Candidate(
                id="s/c001", study="s", number=1, parent=sha(SEED), harness=sha(EDITED), state="promoted",
                edit=[], fixes=[], at_risk=[],
            )
        )  # fmt: skip
        await store.add_evaluation(evaluation([("t", 0), ("u", 0)]))
        begin = start("t", harness=sha(SEED))
        store.open_trial(begin)
        store.step(StepData(begin.id, StepKind.NOTE, at=0.1, data={"text": "hello"}))
        store.model_call(call(begin.id, [user(ASKED)], ASKS))
        store.step(ran(begin.id, "wc -l a", "3 a\n"))
        store.model_call(call(begin.id, [user(ASKED), ASKS, TOLD], DONE))
        picture = user("Look.", [PICTURE])
        store.model_call(call(begin.id, [picture], assistant("A picture."), system=None, tools=()))
        store.step(ran(begin.id, "cat b", "bee\n", exit_code=1))
        store.model_call(call(begin.id, [user(ASKED), assistant("So far: 3.")], assistant("Cut.")))
        await store.close_trial(end(begin.id, 1.0, answer="There are 3."))
        await finished_trial(store, start("u", harness=sha(EDITED)), reward=0.5)
        await finished_trial(store, start("u", attempt=1, harness=sha(EDITED)), reward=None)
        store.open_trial(start("t", repeat=1, harness=sha(SEED)))
        await finished_trial(
            store, start("h", evaluation="s/baseline/holdout", stage=Stage.HOLDOUT, harness=sha(SEED)), reward=1.0
        )
        await store.flush()
    return StoreReader(path)


@pytest.fixture
async def reader(tmp_path: Path) -> StoreReader:
    return await fill(tmp_path / "traces.db")


def all_of(reader: StoreReader, **chosen: Any) -> Selection:
    return Selection(reader.study("s"), **chosen)


def test_a_target_is_one_file() -> None:
    assert names() == ["atif", "dataset", "jsonl", "otlp"]


# ---- what is meant


@pytest.mark.parametrize(
    ("chosen_by", "found"),
    [
        ({}, ["t#0/0", "u#0/0", "u#0/1", "h#0/0"]),
        ({"candidate": "c001"}, ["u#0/0", "u#0/1"]),
        ({"candidate": "seed", "stage": Stage.BASELINE}, ["t#0/0"]),
        ({"stage": Stage.HOLDOUT}, ["h#0/0"]),
        ({"failed": True}, ["u#0/0"]),
        ({"state": "running"}, ["t#1/0"]),
        ({"task": "u", "state": "errored"}, ["u#0/1"]),
        ({"harness": sha(SEED)[:8], "task": "t"}, ["t#0/0"]),
    ],
)
def test_trials_are_chosen_as_a_listing_has_them(
    reader: StoreReader, chosen_by: dict[str, Any], found: list[str]
) -> None:
    assert [
        each.rpartition("/")[0].rpartition("/")[2] + each[-2:]
        for each in chosen(reader, all_of(reader, **chosen_by)).ids
    ] == found


@pytest.mark.parametrize(
    ("chosen_by", "said"),
    [
        ({"candidate": "c009"}, "study s has no candidate c009; `lorimer log --study s` lists them"),
        ({"candidate": "seed", "harness": "a"}, "--candidate and --harness exclude each other; leave one out"),
        ({"task": "nope"}, "no trial of study s matches"),
    ],
)
def test_a_choice_of_nothing_is_told(reader: StoreReader, chosen_by: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        chosen(reader, all_of(reader, **chosen_by))
    assert str(error.value) == said


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_sealed_trials_stay_sealed_until_the_study_has_finished(tmp_path: Path, state: str) -> None:
    reader = await fill(tmp_path / "open.db", state=state)
    found = chosen(reader, all_of(reader))
    assert (len(found.ids), found.sealed) == (3, 1)
    assert not [each for each in found.ids if "holdout" in each]
    for by in ({"stage": Stage.HOLDOUT}, {"task": "h"}):
        with pytest.raises(UserError) as error:
            chosen(reader, all_of(reader, **by))
        assert str(error.value) == (
            "no trial of study s matches; 1 that would are of sealed tasks, which are told once it has finished"
        )
    run = await fill(tmp_path / "run.db", state=state, kind="run")
    assert len(chosen(run, all_of(run)).ids) == 4


def test_a_conversation_ends_where_no_call_goes_on_from_it(reader: StoreReader) -> None:
    (trace,) = read(reader, reader.study("s"), [FIRST])
    assert [(each.messages, each.calls) for each in trace.conversations] == [
        ((user(ASKED), ASKS, TOLD, DONE), 2),
        ((user("Look.", [PICTURE]), assistant("A picture.")), 1),
        ((user(ASKED), assistant("So far: 3."), assistant("Cut.")), 3),
    ]
    assert [event.step.index for event in trace.events] == list(range(reader.step_count(FIRST)))


def test_trials_are_read_one_after_another(reader: StoreReader) -> None:
    coming = read(reader, reader.study("s"), [FIRST, "there is none"])
    assert next(coming).candidate == "seed"
    with pytest.raises(UserError):
        next(coming)


# ---- JSON lines


def test_a_line_holds_all_of_a_trial(reader: StoreReader, tmp_path: Path) -> None:
    place = tmp_path / "new" / "all.jsonl"
    done = export(reader, all_of(reader), "jsonl", str(place))
    assert (done.trials, done.said, done.sealed) == (4, "4 lines", 0)
    lines = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    first = lines[0]
    assert (first["format"], first["candidate"], lines[1]["candidate"]) == ("lorimer-trial/1", "seed", "c001")
    assert first["trial"] == reader.trial(FIRST).model_dump()
    assert first["task"]["instruction"] == ASKED
    kinds = [step["kind"] for step in first["steps"]]
    assert kinds == ["note", "model_call", "exec", "model_call", "model_call", "exec", "model_call"]
    asked, went_on = first["steps"][1], first["steps"][3]
    assert asked["answer"]["reasoning"][0]["text"] == "I count \ufffd them."
    assert (went_on["continues"], went_on["kept"]) == (1, 1)
    assert [each["role"] for each in went_on["added"]] == ["assistant", "tool"]
    assert went_on["usage"] == {"input_tokens": 10, "output_tokens": 5}
    assert first["steps"][2]["stdout"] == "3 a\n"
    assert first["steps"][4]["added"][0]["images"] == [dataclasses.asdict(PICTURE)]


def test_what_is_there_is_not_overwritten_unasked(reader: StoreReader, tmp_path: Path) -> None:
    for to in ("jsonl", "atif", "dataset"):
        place = tmp_path / to
        export(reader, all_of(reader), to, str(place))
        with pytest.raises(UserError) as error:
            export(reader, all_of(reader), to, str(place))
        assert str(error.value) == f"{place}: exists already; name another place with -o, or overwrite it with --force"
        export(reader, all_of(reader), to, str(place), force=True)
    (tmp_path / "file").write_text("")
    for to in ("jsonl", "atif", "dataset"):
        with pytest.raises(UserError) as error:
            export(reader, all_of(reader), to, str(tmp_path / "file" / "below"))
        assert str(error.value).startswith(f"{tmp_path / 'file' / 'below'}")
        assert "cannot be written: " in str(error.value)
    left = {each.name.partition("-")[0] for each in tmp_path.iterdir()}
    assert left == {"atif", "dataset", "file", "jsonl", "traces.db"}


# ---- ATIF

FIELDS: dict[str, set[str]] = {
    "": {"schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics", "extra"},
    "agent": {"name", "version", "model_name", "tool_definitions", "extra"},
    "final": {"total_prompt_tokens", "total_completion_tokens", "total_cached_tokens", "total_cost_usd", "total_steps", "extra"},
    "step": {
        "step_id", "timestamp", "source", "message", "model_name", "reasoning_effort", "reasoning_content", "tool_calls",
        "observation", "metrics", "is_copied_context", "llm_call_count", "extra",
    },
    "call": {"tool_call_id", "function_name", "arguments", "extra"},
    "result": {"source_call_id", "content", "subagent_trajectory_ref", "extra"},
    "metrics": {"prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "extra"},
}  # fmt: skip
"""The fields that ATIF 1.8 has, by object; any other is refused by Harbor's validator."""

AGENTS_ALONE = {"model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"}


def assert_valid(found: dict[str, Any], folder: Path) -> None:
    """The rules of Harbor's validator (tools/validate_atif.py asks it itself)."""
    assert found["schema_version"] == "ATIF-v1.8"
    assert found.keys() <= FIELDS[""]
    assert found["agent"].keys() <= FIELDS["agent"]
    assert found["final_metrics"].keys() <= FIELDS["final"]
    assert found["final_metrics"]["total_steps"] == len(found["steps"]) > 0
    for number, step in enumerate(found["steps"], 1):
        assert step.keys() <= FIELDS["step"]
        assert (step["step_id"], step["source"] in ("system", "user", "agent")) == (number, True)
        datetime.fromisoformat(step["timestamp"])
        assert step["source"] == "agent" or not step.keys() & AGENTS_ALONE
        assert step.get("llm_call_count") != 0 or not step.keys() & {"metrics", "reasoning_content"}
        assert step.get("metrics", {}).keys() <= FIELDS["metrics"]
        calls = step.get("tool_calls", [])
        assert all(each.keys() <= FIELDS["call"] and isinstance(each["arguments"], dict) for each in calls)
        results = step.get("observation", {"results": []})["results"]
        assert all(each.keys() <= FIELDS["result"] for each in results)
        named = {each["source_call_id"] for each in results if "source_call_id" in each}
        assert named <= {each["tool_call_id"] for each in calls}
        for content in (step["message"], *(each["content"] for each in results)):
            for part in content if isinstance(content, list) else ():
                assert part["type"] == "text" or (folder / part["source"]["path"]).is_file()


def test_a_trajectory_is_as_harbor_takes_it(reader: StoreReader, tmp_path: Path) -> None:
    done = export(reader, all_of(reader), "atif", str(tmp_path / "out"))
    files = sorted((tmp_path / "out").glob("*.json"))
    assert (done.said, len(files)) == ("4 files", 4)
    for file in files:
        assert_valid(json.loads(file.read_text(encoding="utf-8")), tmp_path / "out")
    found = json.loads((tmp_path / "out" / file_name(FIRST)).read_text(encoding="utf-8"))
    assert [(each["source"], each["message"], each.get("llm_call_count")) for each in found["steps"]] == [
        ("user", ASKED, None),
        ("system", "Be good.", None),
        ("agent", "", 1),
        ("agent", "There are 3.", 1),
        ("user", [{"type": "text", "text": "Look."}, picture()], None),
        ("agent", "A picture.", 1),
        ("agent", "So far: 3.", 0),
        ("agent", "Cut.", 1),
    ]
    instruction, _, asked, _, _, looked, _, cut = found["steps"]
    assert instruction["extra"]["events"][0]["text"] == "hello"
    assert asked["reasoning_content"] == "I count \ufffd them."
    assert asked["tool_calls"] == [
        {"tool_call_id": "call_1", "function_name": "shell", "arguments": {"command": "wc -l a"}}
    ]
    assert asked["observation"]["results"] == [
        {"source_call_id": "call_1", "content": "3 a", "extra": {"is_error": True}}
    ]
    assert asked["extra"]["events"][0]["command"] == "wc -l a"
    assert looked["observation"]["results"] == [{"content": "bee\n", "extra": {"step": 5}}]
    assert [each["extra"]["conversation"] for each in (asked, looked, cut)] == [1, 2, 1]
    assert cut["extra"]["dropped"] == 2
    assert asked["metrics"] == {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 0, "cost_usd": 0.01}
    assert (found["extra"]["reward"], found["agent"]["extra"]["candidate"]) == (1.0, "seed")
    assert (tmp_path / "out" / picture()["source"]["path"]).read_bytes() == base64.b64decode(PICTURE.data)


def picture() -> dict[str, Any]:
    name = hashlib.sha256(base64.b64decode(PICTURE.data)).hexdigest()
    return {"type": "image", "source": {"media_type": "image/png", "path": f"pictures/{name}.png"}}


def test_an_exported_harness_writes_the_trajectory_that_its_trial_is_exported_as(reader: StoreReader) -> None:
    """But for times, costs and what the harness did beside its calls, which are known of a recorded trial alone."""
    (trace,) = read(reader, reader.study("s"), [FIRST])
    while_it_runs, sent = LiveTrajectory(ASKED), dict[int, tuple[Message, ...]]()
    for event in trace.events:
        if (call := event.call) is not None:
            before = () if event.base is None else sent[event.base][: event.kept]
            sent[event.step.index] = messages = (*before, *call.messages)
            while_it_runs.on_call(ModelRequest(messages, call.system, call.tools), call.completion)
    recorded, pictures = trajectory(trace)
    assert plain(valid(while_it_runs.steps.found)) == plain(recorded["steps"])
    assert while_it_runs.steps.pictures == pictures
    agent = {"name": "n", "version": "v", "model_name": "m"}
    assert while_it_runs.value(agent, "s").keys() <= recorded.keys()


def plain(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps without what is known of a recorded trial alone."""
    found = []
    for step in steps:
        kept = {name: value for name, value in step.items() if name != "timestamp"}
        extra = {name: value for name, value in step.get("extra", {}).items() if name not in ("step", "events")}
        metrics = {name: value for name, value in step.get("metrics", {}).items() if name != "cost_usd"}
        results = [each for each in step.get("observation", {"results": []})["results"] if "source_call_id" in each]
        found.append(kept | {"extra": extra, "metrics": metrics, "observation": results})
    return found


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_two_trials_never_share_a_file(one: str, other: str) -> None:
    made = [file_name(each) for each in (one, other)]
    assert (one == other) == (made[0] == made[1])
    for name in made:
        assert Path(name).name == name
        assert not name.startswith(".")


# ---- a data set


def test_a_data_set_has_a_row_per_conversation_with_the_reward(reader: StoreReader, tmp_path: Path) -> None:
    import datasets

    done = export(reader, all_of(reader), "dataset", str(tmp_path / "out"))
    assert (done.trials, done.said) == (4, "3 conversations")
    found = datasets.load_from_disk(str(tmp_path / "out"))
    assert found["reward"][:] == [1.0, 1.0, 1.0]
    assert found["conversation"][:] == [1, 2, 3]
    first = found[0]
    assert json.loads(first["tools"])[0]["function"]["name"] == "shell"
    said = [{name: value for name, value in each.items() if value is not None} for each in first["messages"]]
    function = {"name": "shell", "arguments": '{"command": "wc -l a"}'}
    assert said == [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": ASKED},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I count \ufffd them.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "3 a", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "There are 3."},
    ]
    assert found[1]["messages"][0]["content"] == f"Look.\n{PICTURE}"
    assert found[1]["tools"] is None
    assert (first["solved"], first["candidate"], first["calls"], found[2]["calls"]) == (True, "seed", 2, 3)


def test_a_data_set_without_a_row_is_refused(reader: StoreReader, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        export(reader, all_of(reader, task="u"), "dataset", str(tmp_path / "out"))
    assert str(error.value) == "none of the 2 trials that match asked a model anything"
    assert {each.name.partition("-")[0] for each in tmp_path.iterdir()} == {"traces.db"}


# ---- OpenTelemetry


def test_spans_arrive_at_a_collector(reader: StoreReader) -> None:
    with collecting() as collector:
        done = export(reader, all_of(reader), "otlp", collector.url)
        assert (done.trials, done.said, len(collector.spans)) == (4, "10 spans", 10)
        assert (set(collector.paths), collector.services) == ({"/v1/traces"}, {"lorimer"})
        before = sorted(span.span_id for span in collector.spans)
        export(reader, all_of(reader), "otlp", f"{collector.url}/v1/traces")
        assert sorted(span.span_id for span in collector.spans[10:]) == before, "the same trials are the same spans"
    spans = collector.spans[:7]
    assert len({span.trace_id for span in spans}) == 1
    assert [span.name for span in spans] == [
        "invoke_agent lorimer seed",
        "chat apprentice",
        "execute_tool exec",
        "chat apprentice",
        "chat apprentice",
        "execute_tool exec",
        "chat apprentice",
    ]
    root, asked, did, went_on, looked = spans[:5]
    assert {span.parent_span_id for span in spans[1:]} == {root.span_id}
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano <= root.end_time_unix_nano for span in spans)
    assert asked.end_time_unix_nano - asked.start_time_unix_nano == 500_000_000
    told = attributes(root)
    assert (told["gen_ai.operation.name"], told["lorimer.reward"], told["lorimer.task"]) == ("invoke_agent", 1.0, "t")
    told = attributes(asked)
    assert told["gen_ai.provider.name"] == "simulated"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (10, 5)
    assert told["gen_ai.response.finish_reasons"] == ["end"]
    assert told["gen_ai.request.max_tokens"] == 100
    (answer,) = json.loads(told["gen_ai.output.messages"])
    assert [part["type"] for part in answer["parts"]] == ["reasoning", "tool_call"]
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be good."}]
    assert json.loads(attributes(went_on)["gen_ai.input.messages"])[-1] == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "call_1", "response": "3 a"}],
    }
    assert json.loads(attributes(looked)["gen_ai.input.messages"])[0]["parts"][0]["mime_type"] == "image/png"
    told = attributes(did)
    assert json.loads(told["gen_ai.tool.call.result"]) == {"exit_code": 0, "output": "3 a\n"}


def test_a_trial_that_errored_is_an_error_of_its_span(reader: StoreReader) -> None:
    with collecting() as collector:
        export(reader, all_of(reader, state="errored"), "otlp", collector.url)
    (span,) = collector.spans
    assert (span.status.code, span.status.message) == (span.status.STATUS_CODE_ERROR, "finished")


def test_a_long_trial_is_sent_in_several_requests(reader: StoreReader) -> None:
    (trace,) = read(reader, reader.study("s"), [FIRST])
    spans = made(trace)
    many = spans * (MOST_SPANS // len(spans) + 1)
    assert [len(some) for some in requests(many)] == [MOST_SPANS, len(many) - MOST_SPANS]


# ---- the command


def test_the_command_writes_and_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / ".lorimer"
    place.mkdir()
    asyncio.run(fill(place / "lorimer.db", state="paused"))
    (tmp_path / "lorimer.toml").write_text("")
    out = tmp_path / "out.jsonl"
    said = typed(capsys, "traces", "export", "--to", "jsonl", "-o", out, "-C", tmp_path)
    assert (said.code, said.out) == (
        0,
        f"wrote 3 trials of s as jsonl to {out}: 3 lines\n"
        "1 trials of sealed tasks are left out: they are told once s has finished\n",
    )
    said = typed(
        capsys, "traces", "export", "--to", "jsonl", "-o", out, "-C", tmp_path, "--force", "--failed", "--json"
    )
    assert said.json() == {
        "study": "s", "to": "jsonl", "place": str(out), "trials": 1, "said": "1 lines", "sealed": 0, "dropped": 0,
    }  # fmt: skip
    assert refused(capsys, 2, "traces", "export", "--to", "csv", "-C", tmp_path) == (
        "lorimer: --to csv: no such target; one of atif, dataset, jsonl, otlp"
    )
    assert refused(capsys, 2, "traces", "export", "--to", "otlp", "-o", "here", "-C", tmp_path) == (
        "lorimer: -o here: not the address of a collector; name one such as http://localhost:4318"
    )
    with collecting() as collector:
        collector.refuse = 401, "no key"
        assert refused(capsys, 2, "traces", "export", "--to", "otlp", "-o", collector.url, "-C", tmp_path) == (
            f"lorimer: the collector at {collector.url}/v1/traces did not take the spans: Failed to export spans batch "
            "code: 401, reason: no key; is one there, and does it know you (OTEL_EXPORTER_OTLP_HEADERS)?"
        )


def test_a_package_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".lorimer").mkdir()
    asyncio.run(fill(tmp_path / ".lorimer" / "lorimer.db"))
    (tmp_path / "lorimer.toml").write_text("")
    without = "import sys; sys.modules['opentelemetry.sdk'] = None; from lorimer.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "traces", "export", "--to", "otlp", "-C", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        3,
        "lorimer: --to otlp needs the package opentelemetry-sdk; pip install 'lorimer[otlp]'\n",
    )


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_valid_stays_as_it_is(value: Any) -> None:
    assert valid(value) == value


def test_halves_of_pairs_are_replaced() -> None:
    assert valid({"\udc00": ["a\ud83d", "\U0001f600"]}) == {"\ufffd": ["a\ufffd", "\U0001f600"]}
