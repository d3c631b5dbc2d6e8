"""A meta model that answers from a script, and a study with trials for it to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorimer.config.settings import MetaSettings
from lorimer.harness.api import Completion, Message, ToolCall, assistant, user
from lorimer.harness.size import tokens
from lorimer.harness.version import sha
from lorimer.meta_agent.proposer.accept import Checks
from lorimer.meta_agent.proposer.conversation import chars_of, chars_of_tools
from lorimer.meta_agent.proposer.dead_ends import EarlierExperiment
from lorimer.meta_agent.proposer.log import Log
from lorimer.meta_agent.proposer.proposal import ProposalSession
from lorimer.meta_agent.proposer.tools import TOOLS
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.study.candidates.briefing import cases_of, knowledge
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import (
    ModelCallData,
    PlannedTrial,
    Stage,
    StepData,
    StepKind,
    TrialEnd,
    TrialStart,
    TrialState,
    Used,
)
from lorimer.traces.tables import Candidate, DecisionRow, Evaluation, StudyRow, TaskRow
from lorimer.traces.writing.store import Store

TOOL_NAMES = frozenset(tool.name for tool in TOOLS)

HARNESS = '''"""A small harness."""

from lorimer.harness.api import user

PROMPT = "Solve the task."
TURNS = 30


def solve(task, env, llm):
    messages = [user(task.instruction)]
    for _ in range(TURNS):
        completion = llm.complete(messages, system=PROMPT)
        messages.append(completion.message)
        if not completion.tool_calls:
            return completion.text
    return ""
'''

EDIT: dict[str, Any] = {
    "title": "Look first",
    "hypothesis": "Trials guess the format of their inputs; told to look first, they will not.",
    "hunks": [
        {"search": 'PROMPT = "Solve the task."', "replace": 'PROMPT = "Look at the inputs, then solve the task."'}
    ],
    "citations": [{"trial": "alpha/0", "step": 1, "quote": "KeyError  needle"}],
    "kind": "prompt",
    "cause": "wrote-blind",
    "mechanism": "It looks first.",
    "fixes": ["alpha"],
    "at_risk": ["beta"],
}

Script = Callable[[ModelRequest], Completion]


def calls(*made: tuple[str, dict[str, Any]], text: str = "") -> Completion:
    """An answer with native tool calls."""
    return Completion(
        assistant(text, [ToolCall(f"id{n}", name, given) for n, (name, given) in enumerate(made)]), "tool_calls"
    )


def says(text: str) -> Completion:
    """An answer in text alone."""
    return Completion(assistant(text), "end")


@dataclass
class ScriptedModel:
    """Answers in the order of the script, whose last answer repeats. Answers may be functions of the request.

    `window` refuses longer requests as a provider does, by the same estimate of tokens.
    """

    script: Sequence[Completion | Script]
    window: int | None = None
    requests: list[ModelRequest] = field(default_factory=list)
    contexts: list[CallContext] = field(default_factory=list)
    answered: int = 0

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        self.requests.append(request)
        self.contexts.append(context)
        if self.window is not None and self.size(request) > self.window:
            message = f"maximum context length is {self.window} tokens"
            return ModelReply(Completion(Message("assistant"), "context_overflow", error=message), 0.0)
        answer = self.script[min(self.answered, len(self.script) - 1)]
        self.answered += 1
        return ModelReply(answer(request) if callable(answer) else answer, 0.0)

    @staticmethod
    def size(request: ModelRequest) -> int:
        return tokens(len(request.system or "") + chars_of_tools(request.tools) + sum(map(chars_of, request.messages)))

    def heard(self) -> str:
        """All that the model ever read."""
        parts = [request.system or "" for request in self.requests]
        parts += [message.text for request in self.requests for message in request.messages]
        parts += [
            f"{tool.name} {tool.description} {tool.parameters}" for request in self.requests for tool in request.tools
        ]
        return "\n".join(parts)

    def last_results(self) -> list[Message]:
        """What the model was told after its last answer but one."""
        found: list[Message] = []
        for message in reversed(self.requests[-1].messages):
            if message.role == "assistant":
                break
            found.append(message)
        return found[::-1]


SECRETS = {
    "holdout": "HOLDOUTWORD",
    "verifier": "VERIFIERWORD",
    "another study": "OTHERSTUDYWORD",
    "an earlier attempt": "EARLIERWORD",
    "another candidate": "CANDIDATEWORD",
}
"""Words that the store holds and that a model must never read."""

SEALED_TEXTS = {
    "omega": "List every ship that entered the harbour after noon, as ships-after-noon.csv has them.",
    "psi-of-the-test": "Say which of the lamps along the northern quay were dark for longer than a week.",
    "canary-of-the-study": "Find the number that nobody wrote down, and put it into number-that-is-lost.txt.",
}
"""What the tasks say that are not for training."""


@dataclass(frozen=True)
class Lab:
    """A store with one study: train tasks alpha (fails, passes), beta (passes), gamma (fails); holdout task omega; one
    task for the test and a canary."""

    store: Store
    reader: StoreReader

    def session(self, model: ScriptedModel, **changes: Any) -> ProposalSession:
        async def starts(text: str) -> str:
            return ""

        values: dict[str, Any] = {
            "complete": model.complete,
            "number": 3,
            "harness": HARNESS,
            "cases": cases_of(self.reader, "s", named_trials(self.reader, "s", ("s/baseline/baseline",))),
            "log": Log("Baseline (the seed harness): 0.500"),
            "program": "Improve the method.",
            "settings": MetaSettings(),
            "seed": 7,
            "checks": Checks(
                MetaSettings().max_harness_bytes,
                [EarlierExperiment(1, "Fewer turns", "rejected", REFUSED, sha(REFUSED_BEFORE), sha(HARNESS))],
                knowledge(self.reader, "s"),
                starts,
            ),
        }
        return ProposalSession(**{**values, **changes})


async def lab(store: Store, *, long_output: int = 0) -> Lab:
    """Fill the store."""
    text = HARNESS
    tasks = [
        TaskRow(
            study="s", id=name, position=number, split=split, digest="d", instruction=f"Do {name} with care. {extra}"
        )
        for number, (name, split, extra) in enumerate(
            [
                ("alpha", "train", ""),
                ("beta", "train", ""),
                ("gamma", "train", "Write the totals to gamma-ledger-totals.csv."),
                ("omega", "holdout", f"{SECRETS['holdout']} {SEALED_TEXTS['omega']}"),
                ("psi-of-the-test", "test", SEALED_TEXTS["psi-of-the-test"]),
                ("canary-of-the-study", "canary", SEALED_TEXTS["canary-of-the-study"]),
            ]
        )
    ]
    for name in ("s", "other"):
        study = StudyRow(
            id=name,
            kind="optimize",
            created="2026-01-01",
            state="running",
            seed=1,
            benchmark="b",
            task_model="m/m",
            meta_model="m/m",
            suite_digest="d",
            config={},
            seed_harness=sha(text),
        )
        await store.create_study(study, tasks if name == "s" else [], text)
    plan = [["gamma", 0], ["alpha", 0], ["beta", 0], ["omega", 0], ["alpha", 1], ["gamma", 1]]
    base = "s/baseline/baseline"
    await store.add_evaluation(Evaluation(id=base, study="s", stage="baseline", harness=sha(text), plan=plan))
    hold = "s/baseline/holdout"
    await store.add_evaluation(Evaluation(id=hold, study="s", stage="holdout", harness=sha(text), plan=[["omega", 0]]))
    elsewhere = "other/baseline/baseline"
    await store.add_evaluation(
        Evaluation(id=elsewhere, study="other", stage="baseline", harness=sha(text), plan=[["alpha", 0]])
    )
    await _trial(store, base, "alpha", 0, None, f"{SECRETS['an earlier attempt']} needle")
    await _trial(store, base, "alpha", 0, 0.0, f"KeyError needle {'x' * long_output}", attempt=1)
    await _trial(store, base, "alpha", 1, 1.0, "all fine needle")
    await _trial(store, base, "beta", 0, 1.0, "all fine")
    await _trial(
        store, base, "gamma", 0, 0.0, "no such file needle", cause="harness_exception", detail="ValueError: bad"
    )
    await _trial(store, base, "gamma", 1, None, "the sandbox died needle")
    await _trial(store, base, "omega", 0, 0.0, f"{SECRETS['holdout']} needle")
    await _trial(store, hold, "omega", 0, 0.0, f"{SECRETS['holdout']} needle", stage=Stage.HOLDOUT)
    await _trial(store, elsewhere, "alpha", 0, 0.0, f"{SECRETS['another study']} needle", study="other")
    await _candidate(store, 1, "rejected", REFUSED)
    store.step(StepData("s/c1", StepKind.NOTE, 0.0, data={"text": f"{SECRETS['another candidate']} needle"}))
    await store.flush()
    return Lab(store, StoreReader(store))


REFUSED = "the mean fell from 0.50 to 0.25"
REFUSED_BEFORE = HARNESS.replace("TURNS = 30", "TURNS = 3")


async def _candidate(store: Store, number: int, state: str, reason: str) -> None:
    name, text = f"s/c{number}", REFUSED_BEFORE
    await store.add_harness(sha(text), text)
    row = Candidate(
        id=name, study="s", number=number, parent=sha(HARNESS), harness=sha(text), title="Fewer turns", state=state
    )
    row.edit, row.fixes, row.at_risk = [], [], []
    await store.add_candidate(row)
    decision: dict[str, Any] = {
        "id": f"{name}/full",
        "study": "s",
        "subject": name,
        "stage": "full",
        "kind": "reject",
    }
    await store.add_decision(DecisionRow(**decision, reason=reason, numbers={}, policy={}, made="now"))


async def _trial(
    store: Store,
    evaluation: str,
    task: str,
    repeat: int,
    reward: float | None,
    output: str,
    *,
    attempt: int = 0,
    study: str = "s",
    stage: Stage = Stage.BASELINE,
    cause: str = "finished",
    detail: str = "",
) -> None:
    planned = PlannedTrial(f"{evaluation}/{task}#{repeat}", study, evaluation, stage, sha(HARNESS), task, repeat, 0)
    start = TrialStart(planned, attempt, "m/m")
    name = start.id
    store.open_trial(start)
    said = assistant(f"I will run cat on {task}.", [ToolCall("1", "shell", {"command": f"cat {task}.txt"})])
    asked: tuple[Message, ...] = (user(f"Do {task} with care."),)
    completion = Completion(said, "tool_calls")
    store.model_call(ModelCallData(name, 123.456, 1, 0, 0, "Solve the task.", (), asked, {}, completion, 0.0, "m/m"))
    data = {"command": f"cat {task}.txt", "exit_code": 0, "stdout": output, "stderr": ""}
    store.step(StepData(name, StepKind.EXEC, at=123.456, seconds=77.125, data=data))
    verdict = {"state": "scored", "reward": reward, "cause": cause, "detail": f"{SECRETS['verifier']} needle"}
    store.step(StepData(name, StepKind.VERDICT, 123.456, data=verdict, text=f"{SECRETS['verifier']} needle"))
    state = TrialState.ERRORED if reward is None else TrialState.SCORED
    shown = detail or SECRETS["verifier"]
    end = TrialEnd(name, state, cause if reward is not None else "engine_failure", shown, reward, {}, f"done {task}")
    await store.close_trial(
        TrialEnd(**{**vars(end), "verifier_output": SECRETS["verifier"], "seconds": 123.456, "used": Used(calls=1)})
    )


async def open_lab(folder: Path, **options: Any) -> Lab:
    """A new store in `folder`; the caller closes `lab.store`."""
    return await lab(Store.open(folder / "traces.db"), **options)


def texts(messages: Iterable[Message]) -> str:
    return "\n".join(message.text for message in messages)
