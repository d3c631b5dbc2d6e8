"""Verifiers that fail for want of a download are told from tasks that fail, before a 0 is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Task
from lorimer.errors import VerifierOutage
from lorimer.sandbox.base import ExecOutput, SandboxLimits
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.check import check_tasks
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.verdict.downloads import LONGEST_LINE, failed_download, reason
from lorimer.traces.schema import PlannedTrial, Stage
from tests.support.trials import Remembering, ScriptedModel, config, local_scheduler, make_task, reply, script, solve

CURL = "curl: (6) Could not resolve host: astral.sh"
ANSWERS = solve("llm.complete([user(task.instruction)])\nreturn ''").text

# ---- what is printed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        CURL,
        "curl: (22) The requested URL returned error: 503",
        "wget: unable to resolve host address 'github.com'",
        "2026-01-01 10:00:00 ERROR 503: Service Unavailable.",
        "ERROR: Could not find a version that satisfies the requirement pytest==8.4.1 (from versions: none)",
        "ERROR: No matching distribution found for pytest==8.4.1",
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by",
        "error: Failed to fetch: `https://pypi.org/simple/pytest/`",
        "  Caused by: error sending request for url (https://pypi.org/simple/pytest/)",
        "error: Request failed after 3 retries",
        "  Failed to download `pytest==8.4.1`",
        "E: Unable to locate package curl",
        "E: Failed to fetch http://deb.debian.org/debian/pool/main/c/curl.deb  Temporary failure resolving 'deb.debian.org'",
        "Err:1 http://deb.debian.org/debian bookworm InRelease",
        "E: Package 'curl' has no installation candidate",
        "WARNING: fetching https://dl-cdn.alpinelinux.org/alpine: temporary error (try again later)",
        "npm ERR! code ENOTFOUND",
        "npm error network request to https://registry.npmjs.org/jest failed",
        'go: proxy.golang.org: dial tcp: lookup proxy.golang.org on 127.0.0.11:53: no such host',
        "fatal: unable to access 'https://github.com/a/b/': Could not resolve host: github.com",
        "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='hf.co', port=443): Max retries exceeded with url: /x",
        "\x1b[31merror\x1b[0m: Failed to fetch: `https://pypi.org/simple/`",
        "/tests/test.sh: line 12: uvx: command not found",
        "sh: 3: pytest: not found",
        "/usr/bin/python3: No module named pytest",
        "/tests/test.sh: line 9: /root/.local/bin/env: No such file or directory",
    ],
)  # fmt: skip
def test_what_installers_print_where_a_download_fails_is_found(line: str) -> None:
    assert failed_download(f"installing\n{line}\n1 failed\n") == " ".join(
        line.replace("\x1b[31m", "").replace("\x1b[0m", "").split()
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "FAILED test_outputs.py::test_answer - AssertionError: 41 != 42",
        "curl: (7) Failed to connect to localhost port 8080 after 0 ms: Connection refused",
        "urllib3: HTTPConnectionPool(host='127.0.0.1', port=5000): Max retries exceeded with url: /health",
        "E   FileNotFoundError: [Errno 2] No such file or directory: '/app/answer.txt'",
        "AssertionError: the report was not found",
        "Successfully installed pytest-8.4.1",
    ],
)
def test_what_a_failed_test_prints_is_none(line: str) -> None:
    assert failed_download(f"collected 3 items\n{line}\n") == ""


def test_the_download_itself_is_named_before_what_comes_of_it_and_in_one_line() -> None:
    assert failed_download(f"uvx: command not found\n{CURL}\n") == CURL
    assert len(failed_download(f"{CURL} {'x' * 1000}")) == LONGEST_LINE
    assert reason("curl: (28) timed out after 30001 ms /tmp/a1") == reason(
        "curl: (28) timed out after 29999 ms /tmp/b2"
    )


# ---- in trials ------------------------------------------------------------------------------------------------------

Verdict = Callable[[str], tuple[float | None, str]]
"""What the verifier of a trial, by its id, leaves and prints."""


class Rig:
    """Trials of a harness that asks its model once, on verifiers of a script."""

    def __init__(
        self,
        folder: Path,
        verdict: Verdict,
        names: str = "a",
        *,
        solution: bool = True,
        concurrency: int = 1,
        retries: int = 2,
        patience: float = 0.08,
    ) -> None:
        def run(command: str, sandbox: FakeSandbox) -> ExecOutput:
            if not command.startswith("sh /tests/"):
                return ExecOutput(b"", b"", 0)
            reward, said = verdict(sandbox.request.owner.trial)
            if reward is not None:
                sandbox.files["/logs/verifier/reward.txt"] = str(reward).encode()
            return ExecOutput(b"", said.encode(), 0)

        own: dict[str, Any] = {"limits": SandboxLimits(network=True)}
        self.tasks: list[Task] = [
            make_task(
                folder, name=name, solution=script(folder / name, "solution", "true") if solution else None, **own
            )
            for name in names
        ]
        self.sink, self.model, self.waits = Remembering(), ScriptedModel(lambda request, context: reply()), list[str]()
        self.scheduler = local_scheduler(
            FakeProvider(run, allow_unsandboxed_jail=True),
            self.tasks,
            self.sink,
            settings=config(retries={"engine_seconds": patience}),
            model=self.model,
            waits=self.waits,
            concurrency=concurrency,
            retries=retries,
        )

    async def play(self, repeats: int = 1) -> list[TrialOutcome]:
        plan: Sequence[PlannedTrial] = [
            PlannedTrial(f"s/e/{task.id}/{repeat}", "s", "s/e", Stage.FULL, "sha", task.id, repeat, 7)
            for repeat in range(repeats)
            for task in self.tasks
        ]
        return await self.scheduler.run(plan, ANSWERS)

    def rows(self) -> list[tuple[str, str, float | None]]:
        return [(end.id, end.cause, end.reward) for end in self.sink.ends.values()]

    def controls(self) -> list[str]:
        return [name for name in self.sink.ends if "/oracle" in name or "/nop" in name]


def is_control(trial: str) -> bool:
    return "/oracle" in trial or "/nop" in trial


@pytest.mark.parametrize("reward", [0.0, None], ids=["0", "no reward"])
@pytest.mark.parametrize("solution", [True, False], ids=["oracle", "nop"])
async def test_a_verifier_that_fails_without_the_agent_too_errors_the_trial_and_no_model_is_paid_for_a_retry(
    tmp_path: Path, solution: bool, reward: float | None
) -> None:
    rig = Rig(tmp_path, lambda trial: (reward, CURL), solution=solution)
    (outcome,) = await rig.play()
    assert (outcome.state.value, outcome.reward, outcome.cause, outcome.attempts) == (
        "errored",
        None,
        "verifier_broken",
        3,
    )
    own = "on its own solution too" if solution else "where nothing is done too"
    assert outcome.detail == f'task a: its verifier says "{CURL}", {own}'
    assert len(rig.model.requests) == 1
    assert len(rig.controls()) == 3
    assert list(rig.sink.warnings.values()) == [f"{outcome.detail}; its trials error until that is put right"]


@pytest.mark.parametrize("solution", [True, False], ids=["oracle", "nop"])
async def test_a_0_is_believed_where_the_verifier_works_without_the_agent_which_is_asked_once(
    tmp_path: Path, solution: bool
) -> None:
    rig = Rig(
        tmp_path, lambda trial: (1.0 if solution else 0.0, "") if is_control(trial) else (0.0, CURL), solution=solution
    )
    outcomes = await rig.play(repeats=3)
    assert [(outcome.cause, outcome.reward, outcome.attempts) for outcome in outcomes] == [("finished", 0.0, 1)] * 3
    assert len(rig.controls()) == 1
    assert list(rig.sink.warnings.values()) == [
        f'task a: its verifier says "{CURL}", and works without the agent: it is believed'
    ]


async def test_what_a_verifier_says_of_a_pass_too_means_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda trial: (1.0 if trial == "s/e/a/0/0" else 0.0, CURL))
    assert [outcome.reward for outcome in await rig.play(repeats=3)] == [1.0, 0.0, 0.0]
    assert rig.controls() == []
    rig = Rig(tmp_path / "oracle", lambda trial: (float(is_control(trial)), CURL))
    assert [outcome.reward for outcome in await rig.play(repeats=3)] == [0.0, 0.0, 0.0]
    assert len(rig.controls()) == 1


async def test_healthy_verifiers_cost_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda trial: (0.0, "1 failed in 0.1s"), "ab")
    assert [outcome.reward for outcome in await rig.play(repeats=2)] == [0.0] * 4
    assert (rig.controls(), rig.sink.warnings, rig.waits) == ([], {}, [])


async def test_a_task_whose_download_is_lost_does_not_stop_the_others(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda trial: (0.0, CURL) if "/a/" in trial else (1.0, ""), "abcd")
    outcomes = await rig.play(repeats=2)
    assert {(outcome.planned.task, outcome.cause) for outcome in outcomes} == {
        ("a", "verifier_broken"),
        ("b", "finished"),
        ("c", "finished"),
        ("d", "finished"),
    }


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_an_outage_for_all_tasks_stops_the_run_in_the_verifiers_words(tmp_path: Path, concurrency: int) -> None:
    rig = Rig(tmp_path, lambda trial: (0.0, CURL), "abcdefgh", concurrency=concurrency, retries=0)
    with pytest.raises(VerifierOutage) as told:
        await rig.play()
    assert "tasks in a row fail without an agent too, such as of task " in str(told.value)
    assert f'its verifier says "{CURL}", on its own solution too' in str(told.value)
    assert not [row for row in rig.rows() if row[2] is not None and not is_control(row[0])], "no 0 was believed"
    assert len(rig.model.requests) <= 3 + concurrency
    assert [end.cause for end in rig.sink.ends.values()].count("verifier_outage") >= 1
    assert any(CURL in why for why in rig.waits)


async def test_an_outage_that_ends_is_waited_for(tmp_path: Path) -> None:
    """The network comes back at the sixth control; from then on every verifier works."""
    asked = 0

    def verdict(trial: str) -> tuple[float, str]:
        nonlocal asked
        asked += is_control(trial)
        return (0.0, CURL) if asked < 6 else (1.0, "")

    rig = Rig(tmp_path, verdict, "abcd", retries=0, patience=4.0)
    outcomes = await rig.play()
    assert [outcome.cause for outcome in outcomes] == ["verifier_broken"] * 3 + ["finished"]
    assert outcomes[-1].reward == 1.0
    assert [why for why in rig.waits if "the verifiers of 3 tasks in a row fail" in why]


@pytest.mark.parametrize(
    ("said", "told"),
    [("licence server 10.0.0.{n}: timed out after {n} s", "licence server 10.0.0."), ("", "left no reward file")],
    ids=["alike", "silent"],
)
async def test_verifiers_that_give_no_reward_for_one_reason_are_asked_without_the_agent_too(
    tmp_path: Path, said: str, told: str
) -> None:
    numbers = iter(range(1000))
    rig = Rig(tmp_path, lambda trial: (None, said.format(n=next(numbers))), "abcdef")
    with pytest.raises(VerifierOutage, match="tasks in a row fail without an agent too") as paused:
        await rig.play()
    assert told in str(paused.value)
    assert not [end.reward for end in rig.sink.ends.values() if end.reward is not None]


async def test_agents_that_leave_no_reward_for_one_reason_win_nothing_where_verifiers_work_without_them(
    tmp_path: Path,
) -> None:
    rig = Rig(
        tmp_path, lambda trial: (float("/oracle" in trial), "") if is_control(trial) else (None, "killed"), "abcdef"
    )
    outcomes = await rig.play()
    assert [(outcome.cause, outcome.reward) for outcome in outcomes] == [("reward_missing", 0.0)] * 6
    assert not [end for end in rig.sink.ends.values() if end.cause == "verifier_broken"]


async def test_an_attempt_that_is_judged_by_two_controls_gives_each_a_name_of_its_own(tmp_path: Path) -> None:
    """Its verifier tells of a download, so it is asked without the agent; and it is suspect for the last time."""

    def verdict(trial: str) -> tuple[float | None, str]:
        return (0.0, "fine") if is_control(trial) else (None, "killed" if trial.endswith("/0") else CURL)

    rig = Rig(tmp_path, verdict, solution=False)
    (outcome,) = await rig.play()
    assert (outcome.cause, outcome.reward) == ("reward_missing", 0.0)
    assert rig.controls() == ["s/e/a/0/nop/1", "s/e/a/0/nop-1/1"]


async def test_a_check_that_a_failed_download_spoiled_counts_as_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda trial: (0.0, CURL), retries=0)
    (found,) = await check_tasks(lambda tasks: rig.scheduler, "s", rig.tasks)
    assert found.problem == f'oracle errored: verifier_broken: its verifier says "{CURL}"'
