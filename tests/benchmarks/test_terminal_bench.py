"""Terminal-Bench 1 task folders: what is read from a good one, and the one line that each bad one gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.benchmarks.base import MarkedVerdict, PytestSummary, Task
from lorimer.benchmarks.registry import open_benchmark
from lorimer.benchmarks.terminal_bench import TerminalBenchmark
from lorimer.errors import ConfigError
from lorimer.sandbox.base import BuiltImage, PulledImage

TASK = """# a comment that no agent sees
instruction: |-
  Count to ten.
author_name: Nobody
difficulty: easy
category: counting
tags:
  - numbers
parser_name: pytest
max_agent_timeout_sec: 300.0
max_test_timeout_sec: 90
run_tests_in_same_shell: false
expert_time_estimate_min: 1
"""
COMPOSE = """services:
  client:
    build:
      dockerfile: Dockerfile
    image: ${T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME}
    container_name: ${T_BENCH_TASK_DOCKER_CLIENT_CONTAINER_NAME}
    command: ["sh", "-c", "sleep infinity"]
    environment:
      - TEST_DIR=${T_BENCH_TEST_DIR}
    volumes:
      - ${T_BENCH_TASK_LOGS_PATH}:${T_BENCH_CONTAINER_LOGS_PATH}
      - ${T_BENCH_TASK_AGENT_LOGS_PATH}:${T_BENCH_CONTAINER_AGENT_LOGS_PATH}
"""


def make(folder: Path, **files: str | None) -> Path:
    """A whole task; `files` changes it, with `_` for `.` and `None` for a file that is not there."""
    texts: dict[str, str | None] = {
        "task.yaml": TASK,
        "Dockerfile": "FROM scratch\n",
        "docker-compose.yaml": COMPOSE,
        "run-tests.sh": "pytest $TEST_DIR/test_outputs.py -rA\n",
        "tests/test_outputs.py": "def test_it(): pass\n",
        "solution.sh": "true\n",
    }
    texts |= {name.replace("__", "-").replace("_", "."): text for name, text in files.items()}
    for name, text in texts.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def only_task(root: Path) -> Task:
    suite = TerminalBenchmark(root).load()
    assert [str(problem) for problem in suite.problems] == []
    (task,) = suite.tasks
    return task


def problem(root: Path) -> str:
    suite = TerminalBenchmark(root).load()
    assert suite.tasks == ()
    (found,) = suite.problems
    return str(found)


def test_a_folder_becomes_a_task(tmp_path: Path) -> None:
    folder = make(tmp_path / "count")
    task = only_task(tmp_path)
    assert (task.id, task.instruction, task.difficulty, task.category) == ("count", "Count to ten.", "easy", "counting")
    assert (task.agent_timeout, task.verifier.timeout) == (300.0, 90.0)
    assert task.image == BuiltImage(folder)
    assert task.limits.network
    assert task.env == {"TEST_DIR": "/tests"}
    assert (task.reward, task.isolation, task.workdir) == (PytestSummary(), "restart", None)
    assert (task.verifier.source, task.verifier.target) == (folder / "tests", "/tests")
    assert task.verifier.extra == ((folder / "run-tests.sh", "/tests/run-tests.sh"),)
    assert task.solution is not None
    assert (task.solution.source, task.solution.command) == (folder / "solution.sh", "bash /oracle/solution.sh")


def test_the_command_line_names_it(tmp_path: Path) -> None:
    make(tmp_path / "suite" / "count")
    assert [task.id for task in open_benchmark("terminal-bench:suite", tmp_path).load().tasks] == ["count"]


def test_notes_that_terminal_bench_does_not_know_are_passed_over_and_said(tmp_path: Path) -> None:
    make(tmp_path / "suite" / "plain")
    assert TerminalBenchmark(tmp_path / "suite").load().notes == ()
    make(tmp_path / "suite" / "one", task_yaml=TASK + "language: cpp\nenv_name: x\n")
    make(tmp_path / "suite" / "two", task_yaml=TASK + "language: cpp\n")
    suite = TerminalBenchmark(tmp_path / "suite").load()
    assert ([task.id for task in suite.tasks], suite.problems) == (["one", "plain", "two"], ())
    said = "notes in task.yaml that Terminal-Bench does not know are passed over: env_name, language (2 tasks)"
    assert suite.notes == (said,)


def test_what_the_format_leaves_out_has_the_originals_defaults(tmp_path: Path) -> None:
    make(
        tmp_path / "count",
        task_yaml="instruction: Go.\ndifficulty: hard\n",
        docker__compose_yaml=None,
        solution_sh=None,
    )
    task = only_task(tmp_path)
    assert (task.agent_timeout, task.verifier.timeout, task.category) == (360.0, 60.0, "software_engineering")
    assert (task.solution, task.env) == (None, {"TEST_DIR": "/tests"})


def test_a_task_without_a_tests_folder_has_its_script(tmp_path: Path) -> None:
    folder = make(tmp_path / "count")
    (folder / "tests" / "test_outputs.py").unlink()
    (folder / "tests").rmdir()
    verifier = only_task(tmp_path).verifier
    assert (verifier.source, verifier.target, verifier.extra) == (folder / "run-tests.sh", "/tests/run-tests.sh", ())


def test_tests_in_the_agents_shell_keep_its_processes(tmp_path: Path) -> None:
    make(tmp_path / "count", task_yaml=TASK.replace("same_shell: false", "same_shell: true"))
    assert only_task(tmp_path).isolation == "same"


def test_typed_commands_become_a_script_and_keys_for_a_full_screen_program_no_solution(tmp_path: Path) -> None:
    lines = "- command: touch a\n  block: true\n- command: |-\n    cat > b <<X\n    1\n    X\n  min_timeout_sec: 0.5\n"
    make(tmp_path / "typed", solution_sh=None, solution_yaml=lines)
    solution = only_task(tmp_path / "typed").solution
    assert solution is not None
    assert solution.command == "touch a\ncat > b <<X\n1\nX"
    keys = "- command: vim a\n  block: false\n- command: ihello\n  append_enter: false\n"
    make(tmp_path / "keys", solution_sh=None, solution_yaml=keys)
    assert only_task(tmp_path / "keys").solution is None


def test_a_compose_file_may_name_an_image_a_folder_and_variables(tmp_path: Path) -> None:
    text = "services: {client: {image: 'python:3.12', working_dir: /app, environment: {A: 1, B: '${C:-x}', D: $$E}}}"
    make(tmp_path / "pulled", docker__compose_yaml=text)
    task = only_task(tmp_path / "pulled")
    assert (task.image, task.workdir) == (PulledImage("python:3.12"), "/app")
    assert task.env == {"TEST_DIR": "/tests", "A": "1", "B": "x", "D": "$E"}
    folder = make(tmp_path / "inner", docker__compose_yaml="services: {client: {build: {context: env, dockerfile: D}}}")
    (folder / "env").mkdir()
    (folder / "env" / "D").write_text("FROM scratch\n")
    assert only_task(folder).image == BuiltImage(folder / "env", "D")


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    make(tmp_path / "count")
    before = only_task(tmp_path).digest
    (tmp_path / "count" / "tests" / "test_outputs.py").write_text("def test_it(): assert False\n")
    assert only_task(tmp_path).digest != before


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("{build: ., command: ./serve}", "services.client.command: is not supported; only one that waits is"),
        ("{build: ., entrypoint: [/entry, x]}", "services.client.entrypoint: is not supported; only one that waits is"),
        ("{build: ../other}", "services.client.build.context: '../other' leaves the task's folder"),
        (
            "{build: {dockerfile: /etc/passwd}}",
            "services.client.build.dockerfile: '/etc/passwd' leaves the task's folder",
        ),
        ("{build: ., environment: [HOME]}", "services.client.environment.HOME: would take its value from the host"),
        ("{build: ., environment: {K: '${KEY}'}}", "needs the variable KEY, which Terminal-Bench does not set"),
        ("{build: ., working_dir: app}", "services.client.working_dir: must be an absolute path"),
        (
            "{build: ., volumes: ['./tests:/x']}",
            "services.client.volumes.0: is refused: './tests' would show the agent",
        ),
        ("[]", "services.client: is not a mapping of names to values"),
    ],
)
def test_a_client_that_is_not_the_usual_one_is_refused_by_name(tmp_path: Path, service: str, message: str) -> None:
    make(tmp_path / "count", docker__compose_yaml=f"services:\n  client: {service}\n")
    assert message in problem(tmp_path)


def test_a_client_without_a_build_has_the_folders_dockerfile(tmp_path: Path) -> None:
    text = "services: {client: {image: '${T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME}'}}"
    folder = make(tmp_path / "count", docker__compose_yaml=text)
    assert only_task(folder).image == BuiltImage(folder)


def test_further_services_come_as_a_group_that_may_share_the_logs(tmp_path: Path) -> None:
    api = "  api:\n    image: python:3.12\n    volumes: ['${T_BENCH_TASK_LOGS_PATH}:/shared']\n"
    make(tmp_path / "count", docker__compose_yaml=f"{COMPOSE}{api}")
    task = only_task(tmp_path)
    assert task.group is not None
    assert (task.group.main.name, task.group.main.volumes) == ("client", ())
    assert [(each.name, each.volumes) for each in task.group.services] == [("api", (("task", "/shared"),))]
    assert PulledImage("python:3.12") in task.images()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"task_yaml": None}, "task.yaml: is missing"),
        ({"run__tests_sh": None}, "run-tests.sh: is missing"),
        ({"Dockerfile": None}, "services.client.build: Dockerfile is missing"),
        ({"Dockerfile": None, "docker__compose_yaml": None}, "Dockerfile: is missing"),
        ({"task_yaml": "instruction: [\n"}, "task.yaml: not valid YAML: line 2:"),
        ({"task_yaml": "- a\n"}, "task.yaml: is not a mapping of names to values"),
        ({"task_yaml": "a: &x 1\nb: *x\n"}, "task.yaml: line 2: aliases are not supported"),
        ({"task_yaml": "a: !!python/object/apply:os.system [id]\n"}, "task.yaml: not valid YAML: line 1:"),
        ({"task_yaml": TASK.replace("  Count to ten.\n", "  \n")}, "instruction: is empty"),
        ({"task_yaml": TASK.replace("difficulty: easy\n", "")}, "difficulty: Field required"),
        ({"task_yaml": TASK.replace("300.0", ".nan")}, "max_agent_timeout_sec: Input should be"),
        ({"task_yaml": TASK.replace("sec: 90", "sec: 0")}, "max_test_timeout_sec: Input should be greater than 0"),
        (
            {"task_yaml": TASK.replace("name: pytest", "name: swelancer")},
            "parser_name: 'swelancer' is not supported; lorimer reads pytest, swebench, sweperf, mlebench",
        ),
        ({"task_yaml": TASK.replace("Count", "Co\0unt")}, "task.yaml: holds a NUL byte"),
        ({"docker__compose_yaml": "services: {}\n"}, "docker-compose.yaml: services: has no client"),
        ({"solution_sh": None, "solution_yaml": "- block: true\n"}, "solution.yaml: 0.command: Field required"),
    ],
)
def test_a_bad_task_gets_one_line(tmp_path: Path, files: dict[str, str | None], message: str) -> None:
    make(tmp_path / "count", **files)
    assert problem(tmp_path).startswith("task count: ")
    assert message in problem(tmp_path)


@pytest.mark.parametrize(
    ("parser", "reward"),
    [
        ("swebench", MarkedVerdict("SWEBench", "PASSED")),
        ("sweperf", MarkedVerdict("SWE-Perf", "PASSED")),
        ("mlebench", MarkedVerdict("MLEBench", "ALL TESTS PASSED")),
    ],
)
def test_a_verdict_between_marks_is_read_where_the_task_says_so(
    tmp_path: Path, parser: str, reward: MarkedVerdict
) -> None:
    make(tmp_path / "count", task_yaml=TASK.replace("name: pytest", f"name: {parser}"))
    (task,) = TerminalBenchmark(tmp_path).load().tasks
    assert task.reward == reward


@pytest.mark.parametrize("name", ["run-tests.sh", "solution.sh"])
def test_windows_line_ends_are_told_by_name(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "bad")
    (folder / name).write_bytes(b"cd /app\r\npytest -rA\r\n")
    assert problem(folder).startswith(
        f"task bad: {name}: has Windows line ends (CRLF), with which it cannot run on Linux"
    )


def test_one_bad_task_hides_no_other(tmp_path: Path) -> None:
    make(tmp_path / "good")
    make(tmp_path / "bad", task_yaml="")
    make(tmp_path / "b c")
    suite = TerminalBenchmark(tmp_path).load()
    assert [task.id for task in suite.tasks] == ["good"]
    assert [found.task for found in suite.problems] == ["'b c'", "bad"]


def test_no_task_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no task"):
        TerminalBenchmark(tmp_path).load()
    with pytest.raises(ConfigError, match="no such folder"):
        TerminalBenchmark(tmp_path / "none").load()
