"""What a verifier gets of the agent's sandbox: artifacts, a copy or the same one; and tasks in several parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Artifact, Part, Task, VerifierSandbox
from lorimer.benchmarks.harbor.benchmark import HarborBenchmark
from lorimer.benchmarks.harbor.variables import HostVariables
from lorimer.benchmarks.terminal_bench import TerminalBenchmark
from lorimer.sandbox.base import ExecOutput, SandboxProvider
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.check import check_tasks
from lorimer.task_agent.verdict.judge import PUBLISHED, artifacts_of
from lorimer.task_agent.verdict.parts import combined, missed
from lorimer.task_agent.verdict.verify import Reward
from lorimer.traces.schema import StepKind, TrialState
from tests.support.trials import Played, Remembering, local_scheduler, make_task, play, solve
from tests.task_agent.conftest import Try

IMAGE = "python:3.12-slim"
HEAD = f'[environment]\ndocker_image = "{IMAGE}"\nnetwork_mode = "no-network"\nworkdir = "/app"\n'


def harbor(root: Path, name: str, toml: str, **files: str) -> None:
    """A Harbor task; in names of files `__` stands for `/`."""
    folder = root / name
    named = {"instruction.md": "Do it.\n", "task.toml": toml}
    named |= {key.replace("__", "/").replace("_md", ".md").replace("_sh", ".sh"): text for key, text in files.items()}
    for path, text in named.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def wants(condition: str) -> str:
    return f"{condition} && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt\n"


def tasks_of(root: Path) -> Sequence[Task]:
    suite = HarborBenchmark(root, host=HostVariables({})).load()
    assert [str(problem) for problem in suite.problems] == []
    return suite.tasks


async def checked(provider: SandboxProvider, tasks: Sequence[Task]) -> dict[str, tuple[str, str]]:
    """What a check finds: isolation and problem by task."""
    sink = Remembering()
    found = await check_tasks(lambda by: local_scheduler(provider, by.values(), sink, concurrency=4), "c", tasks)
    return {each.task: (each.isolation, each.problem) for each in found}


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_harbor_tasks_of_each_kind_check_out(provider: SandboxProvider, tmp_path: Path) -> None:
    answer = "mkdir -p out/deep /logs/artifacts; echo 42 > out/deep/answer; echo x > out/noise.log\n"
    answer += "echo pub > /logs/artifacts/p\n"
    harbor(
        tmp_path,
        "artifacts-shared",
        'artifacts = ["/app/out"]\n' + HEAD,
        solution__solve_sh=answer,
        tests__test_sh=wants("grep -q 42 /app/out/deep/answer"),
    )
    harbor(
        tmp_path,
        "separate",
        'artifacts = [{ source = "out", exclude = ["*.log"] }]\n[verifier]\nenvironment_mode = "separate"\n'
        '[[verifier.collect]]\ncommand = "echo hooked > out/hook"\n' + HEAD,
        solution__solve_sh=answer + "touch /app/elsewhere\n",
        tests__test_sh=wants(
            "grep -q 42 /app/out/deep/answer && grep -q pub /logs/artifacts/p && grep -q hooked /app/out/hook"
            " && [ ! -e /app/elsewhere ] && [ ! -e /app/out/noise.log ]"
        ),
    )
    harbor(
        tmp_path,
        "own-image",
        'artifacts = ["/app/out/deep/answer"]\n[verifier]\nenvironment_mode = "separate"\n' + HEAD,
        solution__solve_sh=answer,
        tests__Dockerfile=f"FROM {IMAGE}\nCOPY test.sh /tests/test.sh\nRUN echo 42 > /expected\n",
        tests__test_sh=wants("cmp /expected /app/out/deep/answer"),
    )
    harbor(
        tmp_path,
        "parts",
        'multi_step_reward_strategy = "mean"\n'
        + HEAD
        + "[[steps]]\nname = 'one'\nmin_reward = 1.0\n[[steps]]\nname = 'two'\n",
        steps__one__instruction_md="First.",
        steps__one__solution__solve_sh="echo 1 > /app/one; (sleep 300; true) & echo $! > /app/pid\n",
        steps__one__tests__test_sh="touch /app/spoor; " + wants("[ -e /app/one ]"),
        steps__two__instruction_md="Second.",
        steps__two__workdir__setup_sh="[ ! -e /tests ] && [ ! -e /app/spoor ] && echo ready > made\n",
        # What the first part started still runs in the second, as in Harbor.
        steps__two__solution__solve_sh="kill -0 $(cat /app/pid) && echo 2 > /app/two\n",
        steps__two__tests__test_sh=wants("[ -e /app/one ] && [ -e /app/two ] && grep -q ready /app/made"),
    )
    assert await checked(provider, tasks_of(tmp_path)) == dict.fromkeys(
        ("artifacts-shared", "own-image", "parts", "separate"), ("fresh", "")
    )


COMPOSE = f"""services:
  main:
    depends_on: {{api: {{condition: service_healthy}}}}
  api:
    image: {IMAGE}
    command: python3 -m http.server 8000 --directory /srv
    volumes: ["./page:/srv/page:ro"]
    healthcheck:
      test: ["CMD", "python3", "-c", "import urllib.request as u; u.urlopen('http://localhost:8000')"]
      interval: 300ms
      retries: 30
"""
FETCH = "python3 -c \"import urllib.request as u; print(u.urlopen('http://api:8000/page').read().decode())\""


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_tasks_of_several_containers_check_out(provider: SandboxProvider, tmp_path: Path) -> None:
    compose = COMPOSE
    for name, toml in (
        ("shared", HEAD),
        (
            "evidence",
            'artifacts = [{ source = "/srv/log", service = "api" }]\n[verifier]\nenvironment_mode = "separate"\n'
            '[[verifier.collect]]\nservice = "api"\ncommand = "echo seen > /srv/log"\n' + HEAD,
        ),
    ):
        harbor(
            tmp_path / "harbor",
            name,
            toml,
            environment__page="from the service",
            solution__solve_sh=f"{FETCH} > /app/got; mkdir -p /logs/artifacts; cp /app/got /logs/artifacts/got\n",
            tests__test_sh=wants(
                "grep -q 'from the service' /app/got"
                if name == "shared"
                else "grep -q seen /srv/log && grep -q 'from the service' /logs/artifacts/got"
            ),
        )
        (tmp_path / "harbor" / name / "environment" / "docker-compose.yaml").write_text(compose)
    (tmp_path / "harbor/evidence/tests/Dockerfile").write_text(f"FROM {IMAGE}\nCOPY test.sh /tests/test.sh\n")
    files = {
        "task.yaml": "instruction: Do.\ndifficulty: easy\n",
        "Dockerfile": f"FROM {IMAGE}\n",
        "docker-compose.yaml": compose.replace("  main:\n", "  client:\n    build: .\n    working_dir: /app\n"),
        "page": "from the service",
        "run-tests.sh": "echo '== short test summary info =='\n"
        "grep -q 'from the service' /app/got && echo PASSED t::a || echo FAILED t::a\n",
        "solution.sh": f"{FETCH} > /app/got\n",
    }
    (tmp_path / "tb" / "services").mkdir(parents=True)
    for file, text in files.items():
        (tmp_path / "tb" / "services" / file).write_text(text)
    terminal = TerminalBenchmark(tmp_path / "tb").load()
    assert [str(problem) for problem in terminal.problems] == []
    tasks = [*tasks_of(tmp_path / "harbor"), *terminal.tasks]
    found = await checked(provider, tasks)
    assert found == {"evidence": ("fresh", ""), "shared": ("restart", ""), "services": ("restart", "")}


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_the_agents_processes_do_not_reach_a_fresh_verifier(attempt: Try, tmp_path: Path) -> None:
    watch = "while :; do echo 1 > /logs/verifier/reward.txt; echo $$ > /app/alive; done"
    agent = solve(f"""env.exec("mkdir -p /logs/verifier; (setsid sh -c '{watch}' >/dev/null 2>&1 &)"); return "x" """)
    played = await attempt(
        agent, make_task(tmp_path, "sleep 0.5; echo 0 > /logs/verifier/reward.txt; sleep 0.5", isolation="fresh")
    )
    assert (played.end.state, played.end.reward) == (TrialState.SCORED, 0.0)


@pytest.mark.docker
@pytest.mark.parametrize("provider", ["docker"], indirect=True)
async def test_artifacts_with_tricks_are_the_agents_own_loss(attempt: Try, tmp_path: Path) -> None:
    tricks = (
        "mkdir out; ln -s ../../tests/run.sh out/peek; ln -s /etc/passwd out/host; mkfifo out/pipe; echo 7 > out/fine"
    )
    agent = solve(f"""
    env.exec("{tricks}; head -c 3000000 /dev/zero > big")
    return "done"
    """)
    task = make_task(
        tmp_path,
        "ls /app/out > /tmp/ls; [ $(cat /tmp/ls) = fine ] && [ ! -e /app/big ] && echo 1 > /logs/verifier/reward.txt",
    )
    separate = VerifierSandbox(task.image, task.limits, "/app")
    apart = dataclasses.replace(
        task, separate=separate, artifacts=(Artifact("out"), Artifact("big"), Artifact("/app/none"))
    )
    played = await attempt(agent, apart, limits={"artifact_bytes": 1_000_000})
    assert (played.end.state, played.end.reward) == (TrialState.SCORED, 1.0), played.end
    told = played.sink.texts(StepKind.TASK)
    assert told[0].startswith("artifact /app/out: 1 files")
    assert "3 entries left out" in told[0]
    assert told[1].startswith("artifact not taken: /app/big: over the limit")
    assert told[2] == "artifact not taken: /app/none: no such file"


def test_the_folder_for_publishing_is_always_taken_once(tmp_path: Path) -> None:
    def of(*artifacts: Artifact) -> tuple[Artifact, ...]:
        return artifacts_of(make_task(tmp_path, artifacts=artifacts))

    declared = Artifact("/logs/artifacts/", ("*.tmp",))
    assert of(Artifact("/x")) == (PUBLISHED, Artifact("/x"))
    assert of(declared) == (declared,)


# Tasks in several parts


def part(folder: Path, name: str, **changes: Any) -> Part:
    at_least = changes.pop("at_least", {})
    return Part(name, make_task(folder, name=name, instruction=f"Do {name}.", **changes), at_least=at_least)


def in_parts(folder: Path, *parts: Part, **changes: Any) -> Task:
    return make_task(folder, parts=parts, isolation="fresh", **changes)


def verifier_that_finds(rewards: dict[str, str]) -> Callable[[str, FakeSandbox], ExecOutput]:
    """Commands of a fake sandbox: a verifier gives the reward of what the agent wrote last."""

    def command(text: str, sandbox: FakeSandbox) -> ExecOutput:
        if text.startswith("sh /tests/run.sh"):
            sandbox.files["/logs/verifier/reward.json"] = rewards[sandbox.files["/app/last"].decode()].encode()
        return ExecOutput(b"", b"", 0)

    return command


SAYS_ITS_TASK = """
env.write("/app/last", task.instruction)
llm.complete([user(task.instruction)])
return f"{task.instruction} {task.max_calls}"
"""


async def played_in_parts(tmp_path: Path, rewards: dict[str, str], *parts: Part, **settings: Any) -> Played:
    provider = FakeProvider(verifier_that_finds(rewards), allow_unsandboxed_jail=True)
    how = settings.pop("reward_of", "mean")
    try:
        return await play(provider, in_parts(tmp_path, *parts, reward_of=how), solve(SAYS_ITS_TASK), **settings)
    finally:
        await provider.close()


async def test_each_part_is_solved_in_a_jail_of_its_own_and_the_limits_are_the_trials(tmp_path: Path) -> None:
    rewards = {"Do one.": '{"reward": 1, "speed": 0.5}', "Do two.": '{"reward": 0.5}'}
    played = await played_in_parts(tmp_path, rewards, part(tmp_path, "one"), part(tmp_path, "two"), limits={"calls": 2})
    end = played.end
    assert (end.state, end.reward, dict(end.rewards)) == (TrialState.SCORED, 0.75, {"reward": 0.75, "speed": 0.25})
    assert (end.answer, end.used.calls, end.used.input_tokens) == ("Do two. 1", 2, 20)
    assert played.sink.texts(StepKind.TASK) == [
        "part 1 of 2 (one) begins",
        "part 1 of 2 (one) is verified: reward 1",
        "part 2 of 2 (two) begins",
        "part 2 of 2 (two) is verified: reward 0.5",
    ]
    assert [context.call_index for context in played.model.contexts] == [0, 1]


async def test_a_limit_that_one_part_used_up_is_used_up_in_the_next(tmp_path: Path) -> None:
    rewards = {"Do one.": "1", "Do two.": "0"}
    played = await played_in_parts(
        tmp_path, rewards, part(tmp_path, "one"), part(tmp_path, "two"), limits={"calls": 1}, reward_of="final"
    )
    assert (played.end.cause, played.end.reward, played.end.used.calls) == (Cause.LIMIT_CALLS, 0.0, 1)
    assert played.end.detail.startswith("part 2 of 2 (two): model calls: 1 of 1 used")


async def test_a_part_that_misses_its_least_reward_is_the_last(tmp_path: Path) -> None:
    first = part(tmp_path, "one", at_least={"reward": 0.5})
    played = await played_in_parts(tmp_path, {"Do one.": "0.25"}, first, part(tmp_path, "two"))
    assert (played.end.reward, played.end.used.calls) == (0.25, 1)
    assert played.sink.texts(StepKind.TASK)[-1] == "no further part is begun: reward is 0.25, under 0.5"


async def test_a_part_without_a_reward_errors_the_trial(tmp_path: Path) -> None:
    rewards = {"Do one.": "1", "Do two.": '"x"'}
    played = await played_in_parts(tmp_path, rewards, part(tmp_path, "one"), part(tmp_path, "two"))
    assert (played.end.state, played.end.cause, played.end.reward) == (TrialState.ERRORED, "reward_unreadable", None)


def test_named_rewards_that_must_be_reached_must_be_there(tmp_path: Path) -> None:
    asked = part(tmp_path, "one", at_least={"speed": 0.5, "reward": 1.0})
    assert missed(asked, Reward(1.0, {"reward": 1.0, "speed": 0.5})) == ""
    assert missed(asked, Reward(1.0, {"reward": 1.0, "speed": 0.25})) == "speed is 0.25, under 0.5"
    assert missed(asked, Reward(1.0)) == "speed is missing, under 0.5"


def test_rewards_of_parts_are_combined_as_the_task_says() -> None:
    given = [("one", Reward(1.0, output="a")), ("two", Reward(0.0, {"reward": 0.0, "x": 4.0}, detail="slow"))]
    mean, final = combined(given, "mean"), combined(given, "final")
    assert (mean.value, dict(mean.named), mean.detail) == (0.5, {"reward": 0.5, "x": 2.0}, "two: slow")
    assert (final.value, dict(final.named)) == (0.0, {"reward": 0.0, "x": 4.0})
    assert mean.output == "== one\na\n== two\n"
    lost = combined([*given, ("three", Reward(None, cause=Cause.REWARD_MISSING))], "mean")
    assert (lost.value, lost.cause) == (None, Cause.REWARD_MISSING)
