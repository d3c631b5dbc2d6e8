"""Harbor tasks in several parts, with verifiers in sandboxes of their own, and with files that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.benchmarks.base import Artifact, Hook, Task
from lorimer.benchmarks.harbor.benchmark import HarborBenchmark
from lorimer.benchmarks.harbor.variables import HostVariables
from lorimer.errors import TaskError
from lorimer.sandbox.base import BuiltImage, PulledImage

STEPS = """
multi_step_reward_strategy = "final"
artifacts = ["/app/log"]
[agent]
timeout_sec = 100
user = "agent"
[verifier.env]
WHO = "all"
[environment]
workdir = "/srv"
[[steps]]
name = "build"
min_reward = 0.5
artifacts = ["/app/out"]
[steps.agent]
timeout_sec = 7
[steps.verifier]
timeout_sec = 8
env = { STEP = "one" }
[steps.healthcheck]
command = "true"
[[steps]]
name = "deploy"
min_reward = { speed = 0.2, reward = 1.0 }
[steps.agent]
user = "root"
"""

WHOLE = {
    "environment/Dockerfile": "FROM scratch\n",
    "tests/helper.py": "",
    "tests/test.sh": "true\n",
    "solution/solve.sh": "true\n",
    "steps/build/instruction.md": "# canary 1\nBuild it.\n",
    "steps/build/tests/test.sh": "true\n",
    "steps/build/solution/solve.sh": "true\n",
    "steps/build/workdir/setup.sh": "true\n",
    "steps/deploy/instruction.md": "Deploy it.\n",
}


def write(folder: Path, toml: str, files: dict[str, str]) -> Path:
    for name, text in {"task.toml": toml, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def simple(folder: Path, toml: str = "", **files: str) -> Path:
    named = {name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()}
    base = {"instruction.md": "Do.\n", "environment/Dockerfile": "FROM scratch\n", "tests/test.sh": "true\n"}
    return write(folder, toml, base | named)


def load(root: Path) -> Task:
    suite = HarborBenchmark(root, host=HostVariables({})).load()
    assert [str(problem) for problem in suite.problems] == []
    return suite.tasks[0]


def problem(root: Path) -> TaskError:
    (found,) = HarborBenchmark(root, host=HostVariables({})).load().problems
    assert "\n" not in str(found)
    return found


# Parts


def test_steps_become_parts_of_one_task(tmp_path: Path) -> None:
    folder = write(tmp_path / "ship", STEPS, WHOLE)
    task = load(tmp_path)
    build, deploy = task.parts
    assert (task.instruction, task.reward_of, task.isolation) == ("Build it.\n\n\nDeploy it.\n", "final", "fresh")
    assert (build.name, build.task.instruction) == ("build", "Build it.\n")
    assert (build.task.agent_timeout, deploy.task.agent_timeout) == (7.0, 100.0)
    assert (build.task.user, deploy.task.user) == ("agent", "root")
    assert (build.at_least, deploy.at_least) == ({"reward": 0.5}, {"speed": 0.2, "reward": 1.0})
    assert (build.setup, deploy.setup) == ("bash ./setup.sh", "")
    assert (build.task.workspace, deploy.task.workspace) == (((folder / "steps/build/workdir", "/srv"),), ())
    assert build.task.healthcheck is not None
    assert build.task.artifacts == (Artifact("/app/log"), Artifact("/app/out"))
    assert deploy.task.artifacts == (Artifact("/app/log"),)


def test_a_part_has_the_shared_tests_and_its_own_over_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "ship", STEPS, WHOLE)
    build, deploy = load(tmp_path).parts
    assert build.task.verifier.files() == ((folder / "tests", "/tests"), (folder / "steps/build/tests", "/tests"))
    assert deploy.task.verifier.files() == ((folder / "tests", "/tests"),)
    assert (build.task.verifier.timeout, deploy.task.verifier.timeout) == (8.0, 600.0)
    assert (build.task.verifier.env, deploy.task.verifier.env) == ({"WHO": "all", "STEP": "one"}, {"WHO": "all"})


def test_a_part_has_its_own_solution_or_the_tasks(tmp_path: Path) -> None:
    folder = write(tmp_path / "ship", STEPS, WHOLE)
    task = load(tmp_path)
    sources = [part.task.solution and part.task.solution.source for part in task.parts]
    assert sources == [folder / "steps/build/solution", folder / "solution"]
    assert task.solution_runs
    (folder / "solution/solve.sh").unlink()
    assert not load(tmp_path).solution_runs


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("steps/deploy/instruction.md", "steps/deploy"),
        ("steps/build/instruction.md", "steps/build/instruction.md"),
        ("tests/test.sh", "steps/deploy/tests/test.sh"),
    ],
)
def test_a_part_that_lacks_a_file_is_told_by_its_name(tmp_path: Path, missing: str, key: str) -> None:
    path = write(tmp_path / "ship", STEPS, WHOLE) / missing
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    assert (problem(tmp_path).key, problem(tmp_path).problem) == (key, "is missing")


def test_a_set_up_with_windows_line_ends_is_told_by_its_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "bad", STEPS, WHOLE)
    (folder / "steps/build/workdir/setup.sh").write_bytes(b"mkdir /app\r\ntouch /app/x\r\n")
    found = problem(tmp_path)
    assert (found.key, "Windows line ends (CRLF)" in found.problem) == ("steps/build/workdir/setup.sh", True)


def test_a_prior_conversation_of_the_first_step_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ship", STEPS, WHOLE | {"steps/build/trajectory.json": "{}"})
    assert problem(tmp_path).key == "steps/build/trajectory.json"


# Verifiers with a sandbox of their own


def test_a_separate_verifier_has_a_sandbox_like_the_agents(tmp_path: Path) -> None:
    toml = '[environment]\nworkdir = "/app"\nallow_internet = false\nenv = { A = "1" }\n[verifier]\nenvironment_mode = "separate"'
    folder = simple(tmp_path / "t", toml)
    task = load(tmp_path)
    assert task.separate is not None
    assert task.separate.image == BuiltImage(folder / "environment")
    assert (task.separate.workdir, task.separate.env, task.separate.limits.network) == ("/app", {"A": "1"}, False)
    assert task.verifier.files() == ((folder / "tests", "/tests"),)
    assert (task.isolation, task.isolations) == ("fresh", ("fresh",))


def test_an_environment_of_the_verifiers_means_a_separate_one(tmp_path: Path) -> None:
    toml = '[verifier.environment]\ndocker_image = "judge:1"\nmemory_mb = 100\nnetwork_mode = "no-network"'
    simple(tmp_path / "t", toml)
    task = load(tmp_path)
    assert task.separate is not None
    assert (task.separate.image, task.separate.limits.memory_mb) == (PulledImage("judge:1"), 100)
    assert task.verifier.files() == ()  # its image has them
    assert task.images() == (task.image, PulledImage("judge:1"))
    assert not task.separate.limits.network


def test_a_separate_verifier_may_list_other_hosts_than_the_agent(tmp_path: Path) -> None:
    toml = (
        '[environment]\nallow_internet = false\n[verifier]\nenvironment_mode = "separate"\nnetwork_mode = "allowlist"\n'
    )
    simple(tmp_path / "t", toml + 'allowed_hosts = ["judge.example"]')
    task = load(tmp_path)
    assert task.separate is not None
    assert (task.limits.network, task.separate.limits.network) == (False, True)
    assert task.separate.limits.hosts == ("judge.example",)


def test_a_dockerfile_beside_the_tests_is_the_verifiers_image(tmp_path: Path) -> None:
    folder = simple(tmp_path / "t", '[verifier]\nenvironment_mode = "separate"', tests__Dockerfile="FROM scratch\n")
    task = load(tmp_path)
    assert task.separate is not None
    assert task.separate.image == BuiltImage(folder / "tests")
    assert task.verifier.source is None


def test_a_verifier_of_several_containers_is_refused(tmp_path: Path) -> None:
    simple(
        tmp_path / "t",
        '[verifier]\nenvironment_mode = "separate"',
        **{"tests__docker-compose_dot_yaml": "services: {}"},
    )
    assert problem(tmp_path).key == "tests/docker-compose.yaml"
    assert "several containers is not supported" in problem(tmp_path).problem


def test_hooks_are_read(tmp_path: Path) -> None:
    simple(tmp_path / "t", '[[verifier.collect]]\ncommand = "dump"\ntimeout_sec = 5\nuser = 0')
    assert load(tmp_path).hooks == (Hook("dump", "main", 5.0, "0"),)


# Files that are left out


def test_harborignore_leaves_files_out_of_context_tests_and_digest(tmp_path: Path) -> None:
    folder = simple(
        tmp_path / "t",
        _dot_harborignore="notes/\n*.bak\n",
        environment__notes__a="1",
        environment__kept="1",
        tests___dot_harborignore="cache/*\n!cache/keep\n",
        tests__cache__a="1",
        tests__cache__keep="1",
        tests__old_dot_bak="1",
    )
    task = load(tmp_path)
    assert task.image == BuiltImage(folder / "environment", without=frozenset({"notes/a"}))
    assert {path.relative_to(folder).as_posix() for path in task.verifier.without} >= {
        "tests/.harborignore",
        "tests/cache/a",
        "tests/old.bak",
    }
    assert folder / "tests/cache/keep" not in task.verifier.without
    (folder / "environment/notes/a").write_text("2")
    assert load(tmp_path).digest == task.digest
    (folder / "tests/cache/keep").write_text("2")
    assert load(tmp_path).digest != task.digest


def test_what_says_what_a_task_is_cannot_be_left_out(tmp_path: Path) -> None:
    folder = simple(tmp_path / "t", _dot_harborignore="*.md\n*.toml\n")
    digest = load(tmp_path).digest
    (folder / "instruction.md").write_text("Do something else.\n")
    assert load(tmp_path).digest != digest


@pytest.mark.parametrize("needed", ["tests/test.sh", "environment/Dockerfile"])
def test_a_needed_file_that_is_left_out_is_told(tmp_path: Path, needed: str) -> None:
    simple(tmp_path / "t", _dot_harborignore=needed)
    assert (problem(tmp_path).key, problem(tmp_path).problem) == (needed, "is left out by a .harborignore")
