"""The meta-agent's session holds no door to what is sealed: whatever can be reached from it is walked, and asked."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlmodel import SQLModel

from lorimer.harness.lint import SEALED
from lorimer.kinds import StepKind
from lorimer.meta_agent.proposer.cases import CasePlace
from lorimer.meta_agent.proposer.proposal import ProposalSession
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from tests.support import meta_model as make
from tests.support.meta_model import HARNESS, SEALED_TEXTS, SECRETS, Lab

PLAIN = (str, bytes, int, float, bool, type(None), Enum, type, types.ModuleType)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


def parts_of(value: object) -> Iterator[object]:
    """What a value leads to by attribute, item or binding. A function leads nowhere: it answers what it is asked."""
    if isinstance(value, Mapping):
        yield from (*value.keys(), *value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    if isinstance(value, types.MethodType):
        yield value.__self__
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif not isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        yield from getattr(value, "__dict__", {}).values()
        for kind in type(value).__mro__:
            for name in getattr(kind, "__slots__", ()):
                if hasattr(value, name):
                    yield getattr(value, name)


def reachable(session: ProposalSession) -> list[object]:
    """Everything behind a session but the model's own end, which belongs to the host."""
    found: dict[int, object] = {}
    pending: list[object] = [value for name, value in vars(session).items() if name != "complete"]
    while pending:
        value = pending.pop()
        if id(value) in found:
            continue
        found[id(value)] = value
        if not isinstance(value, PLAIN):
            pending += parts_of(value)
    return list(found.values())


def test_the_walk_sees_through_every_kind_of_value() -> None:
    class Slotted:
        __slots__ = ("inside",)

        def __init__(self) -> None:
            self.inside = "in a slot"

        def method(self) -> None: ...

    class Holder:
        def __init__(self) -> None:
            self._hidden = {"key": [(partial(print, Slotted().method),)]}

    session = types.SimpleNamespace(cases=Holder(), complete="the host's")
    found = reachable(session)  # type: ignore[arg-type]
    assert "in a slot" in found
    assert "the host's" not in found


def test_a_session_leads_to_no_store_no_row_and_no_sealed_word(lab: Lab) -> None:
    found = reachable(lab.session(make.ScriptedModel([make.says("")])))
    assert "alpha/0" in found, "the walk reaches the cases"
    assert not [value for value in found if isinstance(value, (StoreReader, Store, SQLModel))]
    texts = [value for value in found if isinstance(value, str)]
    for secret in ("omega", *SECRETS.values()):
        assert not [text for text in texts if secret in text]
    foreign = [type(value).__module__ for value in found if not isinstance(value, (*PLAIN, BaseModel))]
    assert {name for name in foreign if name.startswith("lorimer")} <= {
        "lorimer.meta_agent.proposer.accept",
        "lorimer.meta_agent.proposer.cases",
        "lorimer.meta_agent.proposer.dead_ends",
        "lorimer.meta_agent.proposer.log",
    }


async def test_the_functions_of_a_session_answer_about_nothing_that_is_sealed(lab: Lab) -> None:
    session = lab.session(make.ScriptedModel([make.says("")]))
    functions = [value for value in reachable(session) if callable(value) and not isinstance(value, type)]
    recorded = session.cases.recorded
    assert {id(each) for each in functions} == {
        id(each)
        for each in (
            recorded.steps,
            recorded.outlines,
            recorded.find,
            recorded.snippets,
            session.checks.knowledge,
            session.checks.dry_start,
        )
    }, "a new function of a session must be asked here too"
    trials = [trial.id for trial in lab.reader.trials(limit=None)]
    steps = [f"{step.owner}:{step.index}" for trial in trials for step in lab.reader.steps(trial)]
    names = [*trials, *steps, *(trial.split("/", 1)[1] for trial in trials), "omega", "omega/0", "omega#0", "alpha/2"]
    names += ["gamma/1", "s/c1", "s", "s/baseline/holdout", "other/baseline/baseline", "alpha", "%", "*", ""]
    for name in names:
        refused(recorded.steps, name, 0, 9)
        refused(recorded.outlines, [name])
        refused(recorded.snippets, "needle", [CasePlace(name, 0, StepKind.EXEC)])
    refused(recorded.snippets, "needle", [CasePlace("alpha/0", 2, StepKind.VERDICT)])
    own = [case.name for case in session.cases.cases]
    seen: list[object] = [recorded.outlines(own), *(recorded.steps(name, -5, 99) for name in own)]
    words = [
        *SECRETS.values(),
        *names,
        "needle",
        "needle OR omega",
        "text:needle",
        "a* OR b* OR n*",
        "NEAR(needle omega)",
    ]
    for word in words:
        found = recorded.find(word)
        seen += [found, recorded.snippets(word, found)]
    # What an edit says of a sealed task, the lint does not say again.
    seen += [
        session.checks.knowledge(f"{HARNESS}# {text}\n", HARNESS) for item in SEALED_TEXTS.items() for text in item
    ]
    assert [SEALED] in seen
    for secret in ("omega", *SEALED_TEXTS, *SEALED_TEXTS.values(), *SECRETS.values()):
        assert secret not in repr(seen)


def refused(ask: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(KeyError):
        ask(*arguments)
