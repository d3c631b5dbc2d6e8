"""One trial, start to verdict, in real sandboxes."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Grade, Graded, MarkedVerdict, PytestSummary, RewardFiles, Task
from lorimer.benchmarks.harbor.benchmark import HarborBenchmark
from lorimer.benchmarks.harbor.variables import HostVariables
from lorimer.errors import ImageError, SandboxError
from lorimer.keys import Keys
from lorimer.meta_agent.workspace.session import scrub_for
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import (
    ExecOutput,
    ImageSpec,
    Jail,
    JailRequest,
    Owner,
    PythonImage,
    Sandbox,
    SandboxProvider,
    SandboxRequest,
)
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.scale import Scale
from lorimer.task_agent.check import check_tasks
from lorimer.task_agent.outcome import is_settled
from lorimer.task_agent.spec import Nop, Oracle
from lorimer.task_agent.trial import dry_start
from lorimer.task_agent.verdict.verify import ANSWER_BYTES
from lorimer.traces.schema import StepKind, TrialState
from tests.support.trials import REAL, Remembering, config, local_scheduler, make_task, play, reply, script, solve
from tests.task_agent.conftest import Try

both = pytest.mark.parametrize("provider", REAL, indirect=True)
bubblewrap = pytest.mark.bubblewrap

WANTS_ANSWER = 'if [ "$(cat /app/answer)" = 42 ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt'


def solvable(
    folder: Path, verifier: str = WANTS_ANSWER, solution: str = "echo 42 > /app/answer", **changes: Any
) -> Task:
    return make_task(folder, verifier, solution=script(folder, "solution", solution), **changes)


SERVICE = """setsid sh -c 'while :; do date +%s%N > /app/beat; sleep 0.05; done' >/dev/null 2>&1 &
until [ -s /app/beat ]; do sleep 0.05; done"""
WANTS_SERVICE = """a=$(cat /app/beat)
for _ in $(seq 20); do sleep 0.1; [ "$a" = "$(cat /app/beat)" ] || { echo 1 > /logs/verifier/reward.txt; exit; }; done
echo 0 > /logs/verifier/reward.txt"""

# ---- the verdict ----------------------------------------------------------------------------------------------------


@both
async def test_the_oracle_scores_one_and_nop_zero(attempt: Try, tmp_path: Path) -> None:
    task = solvable(tmp_path)
    oracle, nop = await attempt(Oracle(), task), await attempt(Nop(), task)
    assert (oracle.end.state, oracle.end.reward, oracle.end.cause) == (TrialState.SCORED, 1.0, "finished")
    assert (nop.end.state, nop.end.reward) == (TrialState.SCORED, 0.0)


@both
async def test_what_a_trial_ran_under_is_told_with_its_end(attempt: Try, tmp_path: Path) -> None:
    names = iter(["gpt-x-2026-09-01", "", "gpt-x-2026-05-01", "gpt-x-2026-09-01"])
    ask = 'for _ in range(4): llm.complete([user("hi")])\nreturn ""'
    played = await attempt(
        solve(ask),
        make_task(tmp_path),
        answer=lambda request, context: dataclasses.replace(reply(), answered=next(names)),
        sandbox={"concurrency": 7},
    )
    ran = played.end.conditions
    assert (ran.concurrency, ran.answered) == (7, ("gpt-x-2026-05-01", "gpt-x-2026-09-01"))
    (image,) = ran.images
    assert re.fullmatch(r"sha256:[0-9a-f]{64}|[a-z]+[^/]*/(cpython-3[.0-9]+)/python", image), image


@bubblewrap
async def test_a_server_that_names_another_model_each_time_does_not_fill_the_store(
    attempt: Try, tmp_path: Path
) -> None:
    numbers = iter(range(100, 200))
    ask = 'for _ in range(10): llm.complete([user("hi")])\nreturn ""'
    played = await attempt(
        solve(ask),
        make_task(tmp_path),
        answer=lambda request, context: dataclasses.replace(reply(), answered=f"m-{next(numbers)}"),
    )
    assert played.end.conditions.answered == (*(f"m-{number}" for number in range(100, 108)), "and 2 more")


@bubblewrap
async def test_a_solution_that_fails_says_how(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(Oracle(), solvable(tmp_path, solution="echo no such tool >&2; exit 4"))
    assert (played.end.reward, played.end.detail) == (0.0, "the solution ended with exit code 4: no such tool")


@bubblewrap
async def test_the_verifier_sees_what_the_harness_did_and_may_give_named_rewards(attempt: Try, tmp_path: Path) -> None:
    verifier = """
        echo checking
        echo '{"reward": 0.5, "style": 0.25}' > /logs/verifier/reward.json
        echo 1 > /logs/verifier/reward.txt
    """
    played = await attempt(solve("env.write('/app/answer', '42')\nreturn 'done'"), make_task(tmp_path, verifier))
    assert (played.end.reward, played.end.rewards) == (0.5, {"reward": 0.5, "style": 0.25})
    assert played.end.verifier_output == "checking"


@bubblewrap
async def test_workspace_files_are_there_before_the_agent_starts(attempt: Try, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("loose")
    task = make_task(tmp_path, workspace=((tmp_path / "files", "/app/data"),))
    played = await attempt(solve("return env.read_text('/app/data/a.txt')"), task)
    assert played.end.answer == "loose"


@bubblewrap
async def test_what_the_task_says_of_commands_holds_for_agent_and_verifier(attempt: Try, tmp_path: Path) -> None:
    task = make_task(tmp_path, "[ $PWD-$MODE = /app/sub-on ] && echo 1 > /logs/verifier/reward.txt", env={"MODE": "on"})
    task = dataclasses.replace(task, workdir="/app/sub")
    played = await attempt(solve("return env.exec('echo $PWD $MODE').stdout"), task)
    assert (played.end.answer, played.end.reward) == ("/app/sub on\n", 1.0)


@pytest.mark.parametrize(
    ("verifier", "cause", "detail"),
    [
        (
            "exit 3",
            "reward_missing",
            "the verifier (exit code 3) left no reward file (/logs/verifier/reward.json or /logs/verifier/reward.txt); "
            "it printed nothing",
        ),
        (
            "echo 1 > /logs/reward.txt; python -c 'import nowhere'; exit 0",
            "reward_missing",
            "reward.txt); the last that it printed: \"ModuleNotFoundError: No module named 'nowhere'\"",
        ),
        (": > /logs/verifier/reward.txt", "reward_unreadable", "/logs/verifier/reward.txt: is empty"),
        (
            "echo 0,5 > /logs/verifier/reward.txt",
            "reward_unreadable",
            "/logs/verifier/reward.txt: not a number: '0,5'; a reward is one from 0 to 1, such as 0.5",
        ),
        (
            """echo '{"reward": 1, "parts": {"a": 1}}' > /logs/verifier/reward.json""",
            "reward_unreadable",
            """/logs/verifier/reward.json: parts is not a number: {"a": 1}""",
        ),
        (
            "echo a lot > /logs/verifier/reward.txt",
            "reward_unreadable",
            "/logs/verifier/reward.txt: not a number: 'a lot'",
        ),
        (
            "echo 7 > /logs/verifier/reward.txt",
            "reward_scale",
            "task task: /logs/verifier/reward.txt: reward is 7, not from 0 to 1; ",
        ),
        ("sleep 30", "verifier_timeout", "the verifier ran over its 0.5 s"),
    ],
)
@bubblewrap
async def test_no_usable_reward_is_an_error_never_a_zero(
    attempt: Try, tmp_path: Path, verifier: str, cause: str, detail: str
) -> None:
    seconds = 0.5 if cause == "verifier_timeout" else 60.0
    played = await attempt(Nop(), make_task(tmp_path, verifier, verifier_timeout=seconds))
    assert (played.end.state, played.end.cause, played.end.reward) == (TrialState.ERRORED, cause, None)
    assert detail in played.end.detail


# ---- agents that would score themselves -----------------------------------------------------------------------------


DAEMON = """
    loop = "mkdir -p /logs/verifier; echo 1 > /logs/one; mv /logs/one /logs/verifier/reward.json; sleep 0.01"
    env.write("/app/daemon.sh", f"while :; do {loop}; done")
    env.exec("setsid nohup sh /app/daemon.sh >/dev/null 2>&1 & until [ -s /logs/verifier/reward.json ]; do sleep 0.05; done")
    return env.exec("cat /logs/verifier/reward.json").stdout
"""


@both
async def test_a_daemon_that_would_rewrite_the_reward_does_not_outlive_the_agent(attempt: Try, tmp_path: Path) -> None:
    task = make_task(tmp_path, "sleep 0.3; echo 0 > /logs/verifier/reward.txt")
    played = await attempt(solve(DAEMON), task)
    assert played.end.answer == "1\n"  # it was at work
    assert (played.end.reward, played.end.state) == (0.0, TrialState.SCORED)


@both
async def test_names_that_are_no_text_are_looked_at_like_others(attempt: Try, tmp_path: Path) -> None:
    strange = """
        env.exec("touch \\"$(printf '/app/\\\\377')\\"; ln -s /tests \\"$(printf '/app/\\\\376')\\"; echo > /app/plain")
        return env.exec("ls /app | wc -l").stdout
    """
    played = await attempt(solve(strange), make_task(tmp_path, "echo 1 > /logs/verifier/reward.txt"))
    assert (played.end.answer, played.end.cause, played.end.reward) == ("3\n", "finished", 1.0), played.end


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_an_agents_command_runs_in_an_exec_that_waited_and_the_verifier_never(
    attempt: Try, tmp_path: Path
) -> None:
    """Under `same`, where nothing else would end what still waits when the agent ends."""
    waits = "[w]aits for the next command"
    agent = solve("""
        return env.exec("grep -c '[a] command that was waited for' /proc/$PPID/cmdline").stdout
    """)
    verifier = f"""
        for _ in $(seq 100); do
          if ! grep -l '{waits}' /proc/[0-9]*/cmdline; then echo 1 >/logs/verifier/reward.txt; exit; fi
          sleep 0.1
        done
    """
    task = make_task(tmp_path, verifier, isolation="same", agent_timeout=600.0, verifier_timeout=60.0)
    played = await attempt(agent, task)
    assert (played.end.answer, played.end.reward, played.end.detail) == ("1\n", 1.0, "")


@bubblewrap
async def test_under_same_isolation_processes_stay(attempt: Try, tmp_path: Path) -> None:
    """Where the solution is a running service. Weaker evidence: what stays may as well be the daemon above."""
    task = solvable(tmp_path, WANTS_SERVICE, SERVICE)
    restarted = await attempt(Oracle(), task)
    stayed = await attempt(Oracle(), dataclasses.replace(task, isolation="same"))
    assert (restarted.end.reward, stayed.end.reward) == (0.0, 1.0)


@both
async def test_rewards_and_tests_left_by_the_agent_are_not_the_verifiers(attempt: Try, tmp_path: Path) -> None:
    cheat = """
        env.exec("mkdir -p /logs/verifier /tests")
        env.write("/logs/verifier/reward.json", '{"reward": 1}')
        env.write("/logs/verifier/reward.txt", "1")
        env.write("/tests/run.sh", "echo 1 > /logs/verifier/reward.txt")
        env.write("/tests/conftest.py", "")
        return env.exec("ls /tests").stdout
    """
    honest = make_task(tmp_path, "ls /tests; cat /app/answer && echo 1 > /logs/verifier/reward.txt; exit 0")
    played = await attempt(solve(cheat), honest)
    assert played.end.answer == "conftest.py\nrun.sh\n"
    assert (played.end.cause, played.end.reward) == ("reward_missing", None)
    assert played.end.verifier_output.splitlines()[0] == "run.sh"


PLANTED = "mkdir -p /tests/deep/er && cd /tests && echo 'import os' | tee json.py deep/er/json.py && ln -s json.py link"


@both
async def test_what_an_agent_left_write_protected_in_the_verifiers_place_is_removed(
    attempt: Try, tmp_path: Path
) -> None:
    barred = f"{PLANTED} && chmod 0555 deep/er && chmod 0000 deep && chmod 0555 . && echo done"
    played = await attempt(
        solve(f"return env.exec({barred!r}).stdout[-5:]"),
        make_task(tmp_path, "ls -A /tests; echo 0 > /logs/verifier/reward.txt"),
    )
    assert played.end.answer == "done\n"
    assert (played.end.state, played.end.reward, played.end.flags) == (TrialState.SCORED, 0.0, ())
    assert played.end.verifier_output == "run.sh"


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_nothing_is_verified_over_what_cannot_be_removed(attempt: Try, tmp_path: Path) -> None:
    kept = f"{PLANTED} && cp /bin/true /bin/rm && echo done"
    played = await attempt(solve(f"return env.exec({kept!r}).stdout[-5:]"), make_task(tmp_path))
    assert played.end.answer == "done\n"
    assert (played.end.state, played.end.reward) == (TrialState.SCORED, 0.0)
    assert played.end.detail == "/tests was there before the verifier ran and cannot be removed"
    assert played.end.flags == (f"suspect: {played.end.detail}",)


async def test_a_place_that_is_not_cleared_in_time_is_no_pass(tmp_path: Path) -> None:
    """Where the agent's files are still there it scores 0; where they are gone nobody knows what took so long."""

    def command(text: str, sandbox: FakeSandbox) -> ExecOutput:
        sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"", b"", None, timed_out="rm -rf" in text)

    def left(text: str, sandbox: FakeSandbox) -> ExecOutput:
        sandbox.files["/tests/sub/json.py"] = b""
        return ExecOutput(b"sub\n" if text.startswith("ls") else b"", b"", 0, timed_out="rm -rf" in text)

    played = await play(FakeProvider(command), make_task(tmp_path), Nop())
    assert (played.end.cause, played.end.reward) == ("reward_missing", None)
    assert played.end.detail == "clearing the verifier's place took over 60 s"
    played = await play(FakeProvider(left), make_task(tmp_path), Nop())
    assert (played.end.cause, played.end.reward) == ("finished", 0.0)
    assert played.end.flags == ("suspect: /tests was there before the verifier ran and cannot be removed",)


@both
async def test_a_reward_folder_that_is_a_link_elsewhere_is_no_way_in(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(
        solve("""
            env.exec("mkdir -p /app/mine /logs; rm -rf /logs/verifier; ln -s /app/mine /logs/verifier")
            env.write("/app/mine/reward.json", '{"reward": 1}')
            return ""
        """),
        make_task(tmp_path, "echo 0 > /logs/verifier/reward.txt"),
    )
    assert (played.end.reward, played.end.cause) == (0.0, "finished")


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_a_reward_that_cannot_be_removed_scores_zero(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(
        solve("""
            env.exec("mkdir -p /logs/verifier && echo 1 > /logs/verifier/reward.txt && cp /bin/true /bin/rm")
            return ""
        """),
        make_task(tmp_path, "exit 0"),
    )
    assert (played.end.state, played.end.reward) == (TrialState.SCORED, 0.0)
    assert played.end.detail == "/logs/verifier/reward.txt was there before the verifier ran and cannot be removed"


@bubblewrap
async def test_loose_files_beside_the_reward_are_the_agents_own_work(attempt: Try, tmp_path: Path) -> None:
    task = make_task(tmp_path, "cp /app/answer /app/reward.txt", reward=RewardFiles(("/app/reward.txt",)))
    played = await attempt(solve("env.write('/app/answer', '0.5')\nenv.write('/app/reward.txt', '1')\nreturn ''"), task)
    assert played.end.reward == 0.5


@bubblewrap
async def test_a_reward_over_1_errors_by_name_at_once_and_never_scores_less_than_a_worse_answer(
    attempt: Try, tmp_path: Path
) -> None:
    verifier = "cp /app/answer /logs/verifier/reward.txt"
    answers = {}
    for scale in (None, Scale(0.0, 2.63)):
        for answer in ("2.63", "0.5"):
            task = make_task(tmp_path, verifier, reward=RewardFiles(scale=scale))
            played = await attempt(solve(f"env.write('/app/answer', '{answer}')\nreturn ''"), task)
            answers[answer, scale is None] = played.end
    off = answers["2.63", True]
    assert (off.state, off.cause, off.reward) == (TrialState.ERRORED, "reward_scale", None)
    assert off.detail.startswith(
        "task task: /logs/verifier/reward.txt: reward is 2.63, not from 0 to 1; say what it means"
    )
    assert is_settled([off], 5)
    assert answers["0.5", True].reward == 0.5
    assert answers["2.63", False].reward == 1.0
    assert answers["0.5", False].reward == pytest.approx(0.5 / 2.63)
    assert answers["0.5", False].rewards == {"reward": 0.5}


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_a_passed_key_is_in_the_verifiers_process_alone(provider: SandboxProvider, tmp_path: Path) -> None:
    """Neither the agent nor the solution sees it, and what a verifier prints of it is masked."""
    task = make_task(
        tmp_path, 'printf %s "$JUDGE" > /logs/verifier/seen; test -n "$JUDGE" && echo 1 > /logs/verifier/reward.txt'
    )
    task = dataclasses.replace(
        task,
        verifier=dataclasses.replace(task.verifier, passed={"JUDGE": "JUDGE_API_KEY"}),
        solution=script(tmp_path / "solution", "solution", "env | grep -q JUDGE && exit 9; exit 0"),
    )
    looks = solve("return env.exec('env; cat /proc/*/environ').stdout")
    for agent in (looks, Oracle()):
        played = await play(provider, task, agent, passed={"JUDGE_API_KEY": "s3cret-value"})
        assert played.end.reward == 1.0
        assert "s3cret-value" not in f"{played.sink.steps}{played.end}"
        assert "exit code 9" not in played.end.detail
    # Beside what an agent left running, no process holds a key.
    beside = dataclasses.replace(task, isolation="same")
    assert (await play(provider, beside, Nop(), passed={"JUDGE_API_KEY": "s3cret-value"})).end.reward is None
    settings = config(verifier={"pass_env": ["JUDGE_API_KEY"]})
    assert scrub_for(settings, Keys({"JUDGE_API_KEY": "s3cret-value"}))("it is s3cret-value") == "it is [secret]"


PYTHON_TEST = """#!/usr/bin/env python3
import os, pathlib
said = pathlib.Path("/logs/agent/said.txt")
right = said.exists() and said.read_text() == "hello" and os.path.isdir("/logs/artifacts")
pathlib.Path("/logs/verifier/reward.txt").write_text(str(int(right)))
"""
BASH_TEST = "[[ -e /logs/agent/said.txt ]] && r=1; echo ${r:-0} > /logs/verifier/reward.txt"


@pytest.mark.parametrize(
    ("verifier", "solution"),
    [
        (PYTHON_TEST, "#!/usr/bin/env python3\nopen('/logs/agent/said.txt', 'w').write('hello')\n"),
        # Without such a line it is bash's.
        (
            BASH_TEST,
            "set -o pipefail\n> /logs/agent/said.txt",
        ),
    ],
)
@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_harbors_scripts_run_by_their_own_first_line_and_find_its_folders(
    provider: SandboxProvider, tmp_path: Path, verifier: str, solution: str
) -> None:
    files = {
        "task.toml": "[environment]\nallow_internet = false\nworkdir = '/app'\n",
        "instruction.md": "Say hello.",
        "environment/Dockerfile": "FROM scratch\n",
        "tests/test.sh": verifier,
        "solution/solve.sh": solution,
    }
    for name, text in files.items():
        (tmp_path / "set" / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "one" / name).write_text(text)
    (task,) = HarborBenchmark(tmp_path / "set", host=HostVariables({})).load().tasks
    task = dataclasses.replace(task, image=PythonImage())
    for agent, reward in ((Oracle(), 1.0), (Nop(), 0.0)):
        played = await play(provider, task, agent)
        assert (played.end.cause, played.end.reward) == ("finished", reward), played.end


@bubblewrap
async def test_pytests_short_summary_can_be_the_reward(attempt: Try, tmp_path: Path) -> None:
    verifier = "echo '=== short test summary info ==='; echo PASSED t.py::test_a; echo $(cat /app/answer) t.py::test_b"
    for answer, reward in (("PASSED", 1.0), ("FAILED", 0.0)):
        task = make_task(tmp_path, verifier, reward=PytestSummary())
        played = await attempt(solve(f"env.write('/app/answer', '{answer}')\nreturn ''"), task)
        assert played.end.reward == reward


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_a_summary_of_thousands_of_tests_is_read_whole_or_not_at_all(
    provider: SandboxProvider, tmp_path: Path
) -> None:
    """A test that failed may stand where only the head and the tail of an output are kept."""
    passed = "seq -f 'PASSED t.py::test_%.0f' 1 4000; "
    verifier = f"{passed} echo '== short test summary info =='; {passed} MORE; {passed}"
    for more, said in (
        ("true", ("finished", 1.0, "")),
        ("echo FAILED t.py::test_0", ("finished", 0.0, "")),
        (
            "head -c 5000000 /dev/zero",
            (
                "reward_missing",
                None,
                "the verifier (exit code 0): printed more than 4,194,304 bytes, so its pytest summary cannot be read whole",
            ),
        ),
    ):
        task = make_task(tmp_path, verifier.replace("MORE", more), reward=PytestSummary())
        end = (await play(provider, task, Nop())).end
        assert (end.cause, end.reward, end.detail) == said
        assert "bytes dropped ...]" in end.verifier_output
        assert len(end.verifier_output) < 70_000


@bubblewrap
async def test_a_verdict_between_marks_can_be_the_reward(attempt: Try, tmp_path: Path) -> None:
    marks = "echo setting up; echo SWEBench results starts here; cat /app/answer; echo; echo SWEBench results ends here; exit 1"
    task = make_task(tmp_path, marks, reward=MarkedVerdict("SWEBench", "PASSED"))
    for answer, reward in (("PASSED", 1.0), ("FAILED", 0.0), ("PASSED and more", 0.0)):
        played = await attempt(solve(f"env.write('/app/answer', '{answer}')\nreturn ''"), task)
        assert played.end.reward == reward
    silent = make_task(
        tmp_path, "echo SWEBench results starts here; exit 3", reward=MarkedVerdict("SWEBench", "PASSED")
    )
    played = await attempt(solve("return ''"), silent)
    assert (played.end.cause, played.end.reward) == ("reward_missing", None)
    assert played.end.detail == (
        "the verifier (exit code 3): printed no verdict between 'SWEBench results starts here' and 'SWEBench results ends here'"
    )


@bubblewrap
async def test_no_summary_is_no_reward(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(solve("return ''"), make_task(tmp_path, "exit 7", reward=PytestSummary()))
    assert (played.end.cause, played.end.reward) == ("reward_missing", None)
    assert played.end.detail == "the verifier (exit code 7): printed no pytest short test summary"


@bubblewrap
async def test_loose_files_of_a_task_and_of_its_verifier_arrive_at_their_paths(attempt: Try, tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("7")
    (tmp_path / "wanted.txt").write_text("7")
    task = make_task(tmp_path, "cmp /tests/wanted /app/in/7 && echo 1 > /logs/verifier/reward.txt")
    verifier = dataclasses.replace(task.verifier, extra=((tmp_path / "wanted.txt", "/tests/wanted"),))
    task = dataclasses.replace(task, verifier=verifier, workspace=((tmp_path / "given.txt", "/app/in/7"),))
    played = await attempt(solve("return env.read_text('/app/in/7')"), task)
    assert (played.end.answer, played.end.reward) == ("7", 1.0)


@dataclass(frozen=True)
class Sized:
    """A grader that wants so many letters."""

    wanted: int

    async def grade(self, answer: str, timeout: float) -> Grade:
        return Grade(float(answer == "x" * self.wanted), f"{len(answer)} letters")


@pytest.mark.parametrize("size", [3_000, 100_000])
async def test_an_answer_is_judged_whole_however_little_of_it_the_trace_keeps(tmp_path: Path, size: int) -> None:
    provider = FakeProvider(allow_unsandboxed_jail=True)
    task = make_task(tmp_path, reward=Graded(Sized(size)))
    played = await play(provider, task, solve(f"return 'x' * {size}"), limits={"trace_bytes": 1024})
    assert (played.end.reward, played.end.detail) == (1.0, f"{size} letters")
    assert played.end.answer == f"{'x' * 512}\n[... {size - 1024} characters dropped ...]\n{'x' * 512}"
    await provider.close()


@pytest.mark.parametrize(("size", "kept"), [(100_000, 100_000), (ANSWER_BYTES + 1, ANSWER_BYTES)])
async def test_a_verifier_is_given_the_answer_up_to_a_megabyte(tmp_path: Path, size: int, kept: int) -> None:
    def command(text: str, sandbox: FakeSandbox) -> ExecOutput:
        if text.startswith("sh /tests/"):
            sandbox.files["/logs/verifier/reward.txt"] = b"%d" % (sandbox.files["/answer"].count(b"x") == kept)
        return ExecOutput(b"", b"", 0)

    provider = FakeProvider(command, allow_unsandboxed_jail=True)
    task = make_task(tmp_path)
    task = dataclasses.replace(task, verifier=dataclasses.replace(task.verifier, message="/answer"))
    played = await play(provider, task, solve(f"return 'x' * {size}"))
    assert (played.end.reward, played.end.detail) == (1.0, "")
    await provider.close()


# ---- the world's fault ----------------------------------------------------------------------------------------------


class Breaking(FakeProvider):
    """A fake engine that fails at one point."""

    def __init__(self, at: str, error: Exception) -> None:
        super().__init__(self._command, allow_unsandboxed_jail=True)
        self._at, self._error = at, error

    def _command(self, command: str, sandbox: Any) -> Any:
        raise self._error

    async def prepare(self, spec: ImageSpec) -> str:
        if self._at == "prepare":
            raise self._error
        return await super().prepare(spec)

    async def acquire(self, request: SandboxRequest) -> Any:
        if self._at == "acquire":
            raise self._error
        return await super().acquire(request)


@pytest.mark.parametrize(
    ("at", "error", "cause"),
    [
        ("prepare", ImageError("the build failed at step 3", "RUN false\nexit 1"), "image_build"),
        ("acquire", SandboxError("no space left"), "engine_failure"),
        ("exec", SandboxError("sandbox fake-1 is gone"), "sandbox_lost"),
        ("exec", RuntimeError("a bug of ours"), "internal"),
    ],
)
async def test_the_worlds_failures_error_a_trial_by_their_cause(
    tmp_path: Path, at: str, error: Exception, cause: str
) -> None:
    provider = Breaking(at, error)
    played = await play(provider, make_task(tmp_path), solve("env.exec('true')\nreturn ''"))
    await provider.close()
    assert (played.end.state, played.end.cause, played.end.reward) == (TrialState.ERRORED, cause, None)
    assert str(error) in played.end.detail
    if cause == "image_build":
        assert played.sink.texts(StepKind.ERROR) == ["RUN false\nexit 1"]
    if cause == "internal":
        assert "Traceback" in played.sink.texts(StepKind.ERROR)[0]


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_a_sandbox_lost_after_the_agent_acted_is_suspect(provider: SandboxProvider, tmp_path: Path) -> None:
    from docker import APIClient

    def kill(request: ModelRequest, context: CallContext) -> ModelReply:
        client = APIClient(version="auto")
        labels = ["lorimer.study=s", "lorimer.trial=s/e/lost/0/0"]
        jails = {"jail"}
        for found in client.containers(filters={"label": labels}):
            if client.inspect_container(found["Id"])["Config"]["Hostname"] not in jails:
                client.remove_container(found["Id"], force=True)
        client.close()
        return reply()

    start = "llm.complete([user('now')])\nenv.exec('true')\nreturn ''"
    task = make_task(tmp_path, name="lost")
    played = await play(provider, task, solve(start), answer=kill)
    end = played.end
    assert (end.state, end.cause, end.used.calls) == (TrialState.ERRORED, "sandbox_lost", 1)


@both
async def test_a_cancelled_trial_leaves_nothing_behind(provider: SandboxProvider, tmp_path: Path) -> None:
    going = asyncio.Event()

    async def stuck(request: ModelRequest, context: CallContext) -> ModelReply:
        going.set()
        await asyncio.sleep(60)
        return reply()

    opened: list[Sandbox] = []
    acquire = provider.acquire

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(provider, name)

        async def acquire(self, request: SandboxRequest) -> Sandbox:
            opened.append(await acquire(request))
            return opened[-1]

    watched: Any = Watched()
    trial = asyncio.create_task(play(watched, make_task(tmp_path), solve("llm.complete([user('x')])"), answer=stuck))
    await going.wait()
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    (sandbox,) = opened
    with pytest.raises(SandboxError):
        await sandbox.exec("true", timeout=5)


class Halting(FakeProvider):
    """A fake engine that makes one half of what a trial runs on, and never the other."""

    def __init__(self, never: str) -> None:
        super().__init__(allow_unsandboxed_jail=True)
        self._never = never
        self.halves: list[Sandbox | Jail] = []
        self.made, self.halts = asyncio.Event(), asyncio.Event()

    async def _half(self, name: str, making: Awaitable[Any]) -> Any:
        half = await making
        if name == self._never:
            await half.close()
            self.halts.set()
            await asyncio.Event().wait()
        self.halves.append(half)
        self.made.set()
        return half

    async def acquire(self, request: SandboxRequest) -> Any:
        return await self._half("acquire", super().acquire(request))

    async def jail(self, request: JailRequest) -> Any:
        return await self._half("jail", super().jail(request))


@pytest.mark.parametrize("never", ["acquire", "jail"])
async def test_a_trial_that_is_cancelled_while_it_starts_closes_the_half_that_is_made(
    tmp_path: Path, never: str
) -> None:
    provider = Halting(never)
    trial = asyncio.create_task(play(provider, make_task(tmp_path), solve("return ''")))
    await provider.made.wait()
    await provider.halts.wait()
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    (half,) = provider.halves
    assert not await half.running()
    await provider.close()


# ---- dry starts and checks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def solve(task, env, llm):\n    return ''", ""),
        ("from lorimer.harness.api import nothing", "ImportError: cannot import name 'nothing'"),
        ("x = 1", "agent.py defines no function `solve`"),
        ("import os\nos._exit(3)", "the process ended while loading agent.py (exit code 3)"),
        (
            "from lorimer.harness.api import note\nnote('hi')",
            "agent.py called note while it was loaded; only `solve` may act",
        ),
        ("import sys\nprint('why')\nsys.stdout.flush()\nimport os\nos._exit(1)", "why"),
    ],
)
@bubblewrap
async def test_a_dry_start_tells_what_is_wrong(provider: SandboxProvider, text: str, said: str) -> None:
    found = await dry_start(provider, config(), text, Owner("s", "dry"))
    assert said in found
    assert bool(found) == bool(said)


@bubblewrap
async def test_a_check_finds_the_isolation_that_a_task_needs(provider: SandboxProvider, tmp_path: Path) -> None:
    tasks = [
        solvable(tmp_path, name="file"),
        solvable(tmp_path / "2", WANTS_SERVICE, SERVICE, name="service"),
        solvable(tmp_path / "3", WANTS_SERVICE, SERVICE, name="declared", isolation="same"),
        solvable(tmp_path / "4", "echo 1 > /logs/verifier/reward.txt", name="gift"),
        make_task(tmp_path / "5", "exit 1", name="broken"),
    ]
    sink = Remembering()
    found = await check_tasks(lambda by: local_scheduler(provider, by.values(), sink, concurrency=4), "c", tasks)
    assert [(each.task, each.isolation, each.problem) for each in found] == [
        ("file", "restart", ""),
        ("service", "same", ""),
        ("declared", "same", ""),
        ("gift", "restart", "nop scored 1, not 0"),
        (
            "broken",
            "restart",
            "nop errored: reward_missing: the verifier (exit code 1) left no reward file "
            "(/logs/verifier/reward.json or /logs/verifier/reward.txt); it printed nothing",
        ),
    ]


async def test_repeating_a_check_finds_a_verifier_that_does_not_always_say_the_same(tmp_path: Path) -> None:
    seen = {"steady": 0, "flaky": 0}

    def command(text: str, sandbox: FakeSandbox) -> ExecOutput:
        if "/tests/run.sh" in text and "rm -rf" not in text:
            name = sandbox.files["/tests/name"].decode()
            seen[name] += 1
            reward = b"1" if name == "flaky" and seen[name] % 3 == 0 else b"0"
            sandbox.files["/logs/verifier/reward.txt"] = reward
        return ExecOutput(b"", b"", 0, duration=0.0)

    tasks = [make_task(tmp_path / name, name=name) for name in seen]
    for task in tasks:
        (tmp_path / task.id / task.id / "tests" / "name").write_text(task.id)
    provider, sink = FakeProvider(command), Remembering()
    found = await check_tasks(lambda by: local_scheduler(provider, by.values(), sink), "c", tasks, 7)
    assert [(len(each.oracles), len(each.nops), each.problem) for each in found] == [
        (0, 7, ""),
        (0, 7, "flaky: nop scored 1, not 0 in 2 of 7 trials"),
    ]
    assert found[1].nop.reward == 1.0
    assert 0 < found[0].seconds < sum(trial.seconds for trial in found[0].nops)
