"""A meta model that makes no native calls is asked for them by a schema, and one that does never is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import MetaSettings
from lorimer.harness.api import Completion, Tool
from lorimer.harness.structured import misfit
from lorimer.meta_agent.proposer.asking import SessionRequests, schema_of
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal
from lorimer.meta_agent.proposer.propose import propose
from lorimer.models.abilities import Abilities
from lorimer.models.base import ModelRequest
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, Lab, ScriptedModel, calls, says

READ = Tool(
    "read", "Read a trial.", {"type": "object", "properties": {"trial": {"type": "string"}}, "required": ["trial"]}
)
TEXT_ONLY = Abilities(schema="honoured", tools="in text")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


def by_schema(name: str, arguments: dict[str, Any]) -> Completion:
    return says(json.dumps({"tool": name, "arguments": arguments}))


def ways(model: ScriptedModel) -> list[str]:
    """How each request asked for a call."""
    assert all((request.schema is None) == bool(request.tools) for request in model.requests)
    return ["tools" if request.tools else "schema" for request in model.requests]


async def test_where_a_probe_found_no_native_calls_the_first_request_has_a_schema(lab: Lab) -> None:
    model = ScriptedModel([by_schema("read_harness", {}), by_schema("propose_edit", EDIT)])
    outcome = await propose(lab.session(model, abilities=TEXT_ONLY))
    assert isinstance(outcome, Proposal)
    assert ways(model) == ["schema", "schema"]
    system = model.requests[0].system or ""
    assert 'Answer with one JSON object: {"tool": "NAME", "arguments": {...}}' in system
    assert all(f"- {name}: " in system for name in ("read_trace", "propose_edit", "list_failures"))
    assert model.last_results()[0].text.startswith("Result of read_harness:\n")


async def test_a_call_in_the_text_brings_the_schema(lab: Lab) -> None:
    model = ScriptedModel([says('{"name": "read_harness", "arguments": {}}'), by_schema("propose_edit", EDIT)])
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert ways(model) == ["tools", "schema"]


async def test_words_alone_bring_the_schema_at_the_second_time(lab: Lab) -> None:
    model = ScriptedModel([says("I will look."), says("Let me see."), by_schema("propose_edit", EDIT)])
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert ways(model) == ["tools", "tools", "schema"]


async def test_a_model_that_calls_natively_is_never_asked_otherwise(lab: Lab) -> None:
    script = [calls(("read_harness", {})), says("Hm."), says("Well."), says("So."), calls(("propose_edit", EDIT))]
    model = ScriptedModel(script)
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert ways(model) == ["tools"] * 5


async def test_where_schemas_are_not_honoured_the_model_is_asked_as_before(lab: Lab) -> None:
    text = says('{"name": "propose_edit", "arguments": ' + json.dumps(EDIT) + "}")
    for word in ("ignored", "refused"):
        model = ScriptedModel([says('{"name": "read_harness", "arguments": {}}'), text])
        found = Abilities.of_json({"schema": word, "tools": "in text"})
        assert isinstance(await propose(lab.session(model, abilities=found)), Proposal)
        assert ways(model) == ["tools", "tools"]


async def test_a_server_that_takes_no_tools_is_asked_by_a_schema(lab: Lab) -> None:
    def no_tools(request: ModelRequest) -> Completion:
        return Completion(says("").message, "rejected", error="tools param requires --jinja flag")

    model = ScriptedModel([no_tools, by_schema("propose_edit", EDIT)])
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert ways(model) == ["tools", "schema"]
    model = ScriptedModel([no_tools])
    outcome = await propose(lab.session(model))
    assert outcome == NoProposal("the meta model's provider refused the request: tools param requires --jinja flag")
    assert ways(model) == ["tools", "schema"], "asked once more, not for ever"


def test_the_schema_takes_a_call_of_a_tool_and_nothing_else() -> None:
    schema = schema_of([READ, Tool("list", "List.", {"type": "object", "additionalProperties": False})])
    assert misfit({"tool": "read", "arguments": {"trial": "a/0"}}, schema) == ""
    assert misfit({"tool": "list", "arguments": {}}, schema) == ""
    for wrong in (
        {"tool": "read", "arguments": {}},
        {"tool": "write", "arguments": {}},
        {"tool": "list", "arguments": {"trial": "a/0"}},
        {"tool": "list"},
        {"tool": "list", "arguments": {}, "why": "so"},
    ):
        assert misfit(wrong, schema)


def test_nothing_is_known_before_the_first_answer() -> None:
    assert not SessionRequests([READ], None).by_schema
    assert not SessionRequests([READ], Abilities(schema="honoured")).by_schema
    assert not SessionRequests([READ], Abilities(tools="honoured", schema="honoured")).by_schema
    assert SessionRequests([READ], Abilities(tools="ignored")).by_schema


def offered(request: ModelRequest) -> set[str]:
    """The tools that a request's schema has."""
    assert request.schema is not None
    return {each["properties"]["tool"]["const"] for each in request.schema["anyOf"]}


async def test_a_schema_has_no_more_to_look_at_for_a_model_that_looks_at_the_same_again(lab: Lab) -> None:
    look, other = by_schema("list_failures", {}), by_schema("read_harness", {})
    wrong, right = by_schema("propose_edit", {**EDIT, "hunks": []}), by_schema("propose_edit", EDIT)
    model = ScriptedModel([look, other, look, wrong, other, right])
    assert isinstance(await propose(lab.session(model, abilities=TEXT_ONLY)), Proposal)
    all_of_them = offered(model.requests[0])
    assert {"list_failures", "read_trace", "propose_edit"} < all_of_them
    repeated = {"propose_edit"}
    assert [offered(request) for request in model.requests] == [
        all_of_them,
        all_of_them,
        all_of_them,
        repeated,
        all_of_them,  # to look up what was wrong with its edit
        repeated,
    ]
    assert len({request.system for request in model.requests}) == 1, "a cache can serve it"


async def test_the_schema_of_the_last_answers_takes_an_edit_alone(lab: Lab) -> None:
    model = ScriptedModel([by_schema("list_failures", {"kind": str(number)}) for number in range(5)])
    outcome = await propose(lab.session(model, settings=MetaSettings(calls=5), abilities=TEXT_ONLY))
    assert isinstance(outcome, NoProposal)
    assert [len(offered(request)) > 1 for request in model.requests] == [True, True, True, False, False]


async def test_a_model_that_calls_natively_keeps_all_tools(lab: Lab) -> None:
    model = ScriptedModel([calls(("list_failures", {}))] * 2 + [calls(("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert {len(request.tools) for request in model.requests} == {len(model.requests[0].tools)}
