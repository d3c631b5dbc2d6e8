"""Every error that a user can reach is one line, says what to do, and has its exit code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lorimer import cli, failures
from lorimer.config import settings as config
from lorimer.errors import ConfigError, InternalError, PrerequisiteError, SandboxError
from lorimer.models.provider import provider_config
from tests.cli.support import LORIMER, process, refused, typed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("optimise", "no such command 'optimise'. Did you mean 'optimize'? See `lorimer --help`"),
        ("traces list", "no such command 'list'. Did you mean 'ls'? See `lorimer traces --help`"),
        ("run --repeat 3", "no such option: --repeat"),
        ("run --repeats many", "invalid value for '--repeats'"),
        ("run --repeats 0", "invalid value for '--repeats'"),
        ("optimize --candidates 0", "invalid value for '--candidates'"),
        ("traces show", "missing argument 'trial'; see `lorimer traces show --help`"),
        ("traces ls --state lost", "'lost' is not one of 'running', 'scored', 'errored', 'cancelled'"),
        ("traces ls --stage half", "'half' is not one of 'baseline'"),
        ("status extra", "unexpected extra argument"),
        ("status --study", "option '--study' requires an argument"),
    ],
)
def test_usage_errors_are_one_line(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, *arguments.split())
    assert words in said
    assert "--help`" in said


@pytest.mark.parametrize(
    "command",
    ["run", "optimize", "resume", "status", "log", "export", "traces ls", "traces show x", "traces search x", "verify"],
)
def test_without_a_workspace_each_command_says_what_is_missing(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, 2, *command.split(), "-C", tmp_path)
    if command in ("run", "optimize", "resume"):
        assert f"`lorimer init {tmp_path}` makes one, and -C names one elsewhere" in said
    else:
        assert said == f"lorimer: no lorimer.toml in {tmp_path} or above it; name a workspace with -C"


@pytest.mark.parametrize("command", ["run", "status", "log", "export", "verify", "doctor", "dashboard"])
def test_a_folder_that_is_not_there_is_named_and_no_other_is_taken(
    command: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, 2, command, "-C", "/nope") == "lorimer: -C /nope: no such folder"
    below = workspace / "nope"
    assert refused(capsys, 2, command, "-C", below) == f"lorimer: -C {below}: no such folder"
    file = workspace / "program.md"
    assert refused(capsys, 2, command, "-C", file) == f"lorimer: -C {file}: is no folder"


@pytest.mark.parametrize("command", ["status", "log", "export", "traces ls", "verify"])
def test_a_workspace_in_which_nothing_was_run_says_what_to_run(
    command: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = f"-C {workspace}"
    assert refused(capsys, 2, *command.split(), "-C", workspace / "harness") == (
        f"lorimer: there are no traces at {workspace / '.lorimer' / 'lorimer.db'} yet; "
        f"`lorimer run {there}` or `lorimer optimize {there}` makes the first"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gate]\nalfa = 0.1", "lorimer.toml: gate.alfa: there is no such key; did you mean 'alpha'?"),
        ("[gates]\nalpha = 0.1", "gates: there is no such key; did you mean 'gate'?"),
        (
            '[executor]\ndocker_hosts = ["tcp://a:1", "tcp://b:1"]\nshares = [1, 0]',
            "shares: holds a number below 1; leave a host out that is to take no trials",
        ),
        ("[gate]\nalpha = 2", "lorimer.toml: gate.alpha: should be less than 0.5 (given: 2)"),
        ("[providers.local]\nurl = 'x'", "providers.local.url: there is no such key; did you mean 'base_url'?"),
        (
            "[providers.local.retry]\nwindow = 1",
            "providers.local.retry.window: there is no such key; did you mean 'window_seconds'?",
        ),
        ("[models]\nmeta = 'anthropic/'", "models.meta: 'anthropic/' is not PROVIDER/NAME"),
        ("[models]\ntask = 'gpt'", "models.task: 'gpt' is not PROVIDER/NAME"),
        ("[models]\ntask = 'who/gpt'", "models: no provider 'who' for 'who/gpt'"),
        ("gate = 3", "gate: is a table: write [gate] on a line of its own and its keys below"),
        ("[verifier]\nscale = [2, 1]", "verifier.scale: its first number, 2, must be less than its second, 1"),
        ("alpha = 0.1", "alpha: there is no such key; did you mean gate.alpha?"),
        ("[gate]\nusd = 1", "gate.usd: there is no such key; did you mean limits.usd, budget.usd or budget.task.usd?"),
        ("[benchmark]\ntasks = 'a, b'", """benchmark.tasks: should be a list such as ["a", "b"] (given: 'a, b')"""),
        ("[limits]\ncalls = 'many'", "limits.calls: should be a whole number (given: 'many')"),
        ("[benchmark]\ncheck = 'maybe'", "benchmark.check: should be true or false (given: 'maybe')"),
        ("[study]\nname = 3", "study.name: should be a text in quotes (given: 3)"),
        ("[gate]\nalpha = 2\nrepeats = 0", "gate.alpha: should be less than 0.5 (given: 2); gate.repeats: should be"),
        (
            "[gate]\nholdout_step = 0.1",
            "gate.holdout_step: is no setting any more: no score of the holdout is shown while a",
        ),
        ("[gate", "not valid TOML"),
        ("[benchmark]\nsource = 'swe'", "'swe' is not a benchmark"),
        ("[benchmark]\ntasks = ['nope-*']", "benchmark.tasks: no task matches 'nope-*'"),
        ("[benchmark]\nexclude = ['*']", "benchmark.exclude: *: leaves out all 40 tasks"),
        (
            "[benchmark]\ntasks = ['data-*']\nexclude = ['data-*', 'x']",
            "benchmark.exclude: data-*, x: leaves out all 10 tasks that benchmark.tasks names",
        ),
        (
            "[budget]\nusd = 1\n[models]\ntask='l/m'\n[providers.l]\nbase_url='http://127.0.0.1:1/v1'",
            "price of l/m is unknown",
        ),
    ],
)
def test_wrong_settings_are_told_by_key(
    text: str, words: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "lorimer.toml").write_text(text)
    assert words in refused(capsys, 2, "run", "-C", workspace)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("alpha=0.1", "--set alpha=0.1: write TABLE.KEY=VALUE"),
        ("gate.alpha", "--set gate.alpha: write TABLE.KEY=VALUE"),
        ("gate..alpha=1", "write TABLE.KEY=VALUE"),
        ("gate.aplha=0.1", "--set gate.aplha=0.1: there is no such key; did you mean 'alpha'?"),
        ("gate.alpha=high", "--set gate.alpha=high: should be a number"),
        ("gate.alpha.x=1", "--set gate.alpha.x=1: gate.alpha: should be a number"),
        ("gate.alpha=0.1\nseed = 1", "--set gate.alpha=0.1 seed = 1: should be a number"),
        ("sandbox.provider=podman", "--set sandbox.provider=podman: should be 'auto', 'docker' or 'bubblewrap'"),
        ("study.name=a/b", "--set study.name=a/b: should match pattern"),
        ("study.name=3", """--set study.name=3: should be a text in quotes: write --set 'study.name="3"'"""),
        ("benchmark.tasks=a", """--set benchmark.tasks=a: should be a list: write --set 'benchmark.tasks=["a"]'"""),
        ("benchmark.tasks=[a,b]", """should be a list: write --set 'benchmark.tasks=["a", "b"]'"""),
        ("models.task=gpt", "--set models.task=gpt: 'gpt' is not PROVIDER/NAME"),
        ("split.holdout=1", "--set split.holdout=1: should be less than 1"),
        ("split.test=0.7", "--set split.test=0.7: split: holdout and test together are 1: nothing is left to train on"),
        ("sandbox.network=registries", "--set sandbox.network=registries: sandbox.registries: names none"),
        (
            'executor.docker_hosts=["big:2375"]',
            "docker_hosts=[\"big:2375\"]: 'big:2375' is neither unix:///PATH nor tcp://HOST:PORT",
        ),
        (
            'executor.docker_hosts=["tcp://a:99999"]',
            "'tcp://a:99999' has a port that no machine has; a port is a number from",
        ),
        ('executor.docker_hosts=["tcp://a:1", "tcp://a:1"]', 'tcp://a:1"]: names tcp://a:1 twice'),
        (
            'executor.docker_hosts=["ssh://me@big"]',
            "'ssh://me@big' is reached through its forwarded socket: "
            "run `ssh -NL /tmp/docker-1.sock:/var/run/docker.sock me@big` and write unix:///tmp/docker-1.sock",
        ),
        ("executor.shares=[1]", "shares: has 1 numbers for 0 docker_hosts"),
        ("executor.kind=k8s", "--set executor.kind=k8s: should be 'local' or 'ray'"),
        ('executor.ray_address="head:6379"', "ray_address: has no effect without kind = 'ray'"),
        ("providers.l=3", "--set providers.l=3: is a table: "),
        ("gate.usd=1", "--set gate.usd=1: there is no such key; did you mean limits.usd,"),
        (
            "gate.holdout_step=0.1",
            "--set gate.holdout_step: is no setting any more: no score of the holdout is shown while",
        ),
    ],
)
def test_wrong_settings_of_the_command_line_are_told_by_key(
    setting: str, words: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, 2, "optimize", "-C", workspace, "--set", setting)
    assert words in said
    assert "lorimer.toml" not in said  # which is not at fault


def test_what_the_file_and_what_the_command_line_did_wrong_is_told_apart(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace / "lorimer.toml"
    path.write_text("[gate]\nalpha = 2\n")
    said = refused(capsys, 2, "run", "-C", workspace, "--set", "gate.repeats=x", "--set", "split.test=0.1")
    assert said == (
        f"lorimer: {path}: gate.alpha: should be less than 0.5 (given: 2); --set gate.repeats=x: should be a whole number"
    )
    # A right value on the command line does away with the file's, a wrong one takes its place.
    said = refused(capsys, 2, "run", "-C", workspace, "--set", "gate.alpha=0.1", "--set", "gate.repeats=x")
    assert said == "lorimer: --set gate.repeats=x: should be a whole number"
    said = refused(capsys, 2, "run", "-C", workspace, "--set", "gate.alpha=3")
    assert said == "lorimer: --set gate.alpha=3: should be less than 0.5"
    said = refused(capsys, 2, "power", "--assume", "0.5x10", "-C", workspace.parent, "--set", "gate.alpha=3")
    assert said == "lorimer: --set gate.alpha=3: should be less than 0.5"


def test_a_byte_order_mark_is_no_part_of_what_is_read(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "train").write_text("\ufeffdata-bank-batches\n")
    (workspace / "lorimer.toml").write_text(
        "\ufeff[models]\ntask = 'mine/m'\n[split]\ntrain_file = 'train'\n"
        "[providers.mine]\nbase_url = 'http://127.0.0.1:1/v1'\n"
    )
    said = typed(capsys, "optimize", "--dry-run", "-C", workspace)
    assert said.out.startswith("starter: 1 train tasks, 39 sealed"), said
    (workspace / "lorimer.toml").write_bytes("[models]".encode("utf-16"))
    assert "lorimer.toml: is not UTF-8 (byte 0); save it as UTF-8" in refused(capsys, 2, "run", "-C", workspace)


def test_tasks_that_cannot_be_read_are_named_with_the_key_that_asks_for_them(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("run", "-C", workspace, "--set", "benchmark.source=harbor:suite")
    (workspace / "suite" / "bad").mkdir(parents=True)
    (workspace / "suite" / "bad" / "task.toml").write_text("x = ")
    said = refused(capsys, 2, *source)
    assert "benchmark.source: harbor:suite: its only task cannot be read: task bad: task.toml: " in said
    (workspace / "suite" / "worse").mkdir()
    (workspace / "suite" / "worse" / "task.toml").write_text("y = ")
    said = refused(capsys, 2, *source)
    assert "harbor:suite: none of its 2 tasks can be read: task bad and 1 more: task.toml: not valid TOML: " in said
    (workspace / "suite" / "worse" / "task.toml").write_text("gpus = 1\n")
    said = refused(capsys, 2, *source)
    assert "; task worse: gpus: no such key in a Harbor task.toml" in said
    (workspace / "suite" / "worse" / "task.toml").write_text("y = ")
    good = workspace / "suite" / "good"
    for name, text in (
        ("task.toml", "version = '1.0'\n"),
        ("instruction.md", "Do it."),
        ("environment/Dockerfile", "FROM python:3.12-slim\n"),
        ("tests/test.sh", "exit 0\n"),
    ):
        (good / name).parent.mkdir(parents=True, exist_ok=True)
        (good / name).write_text(text)
    said = refused(capsys, 2, *source, "--set", 'benchmark.tasks=["wors*"]')
    assert "benchmark.tasks: what 'wors*' names cannot be read: task worse: task.toml: " in said


def test_every_key_of_every_table_is_guarded(workspace: Path) -> None:
    for name, field in config.Config.model_fields.items():
        table = "providers.x" if name == "providers" else name
        with pytest.raises(ConfigError, match=f"{table}.no_such_thing: there is no such key"):
            config.parse(config.merge({}, {f"{table}.no_such_thing": 1}))
        assert field.is_required() is False


def test_a_missing_key_is_a_missing_prerequisite(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "models.task=mine/m", "--set", "providers.mine.base_url=http://127.0.0.1:1/v1")
    said = refused(capsys, 3, "run", "-C", workspace, *settings, "--set", "providers.mine.key_env=NO_SUCH_VARIABLE")
    assert "export NO_SUCH_VARIABLE=..." in said


def test_a_harness_that_is_not_one_is_refused_before_anything_is_spent(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harness = workspace / "harness" / "agent.py"
    harness.write_text("import numpy\n")
    assert "'numpy' is not in the jail" in refused(capsys, 2, "run", "-C", workspace)
    assert "it has uncommitted changes" in refused(capsys, 2, "optimize", "-C", workspace)
    harness.unlink()
    back = f"get back the committed one with: git -C {workspace} checkout HEAD -- harness/agent.py"
    assert back in refused(capsys, 2, "run", "-C", workspace)
    assert back in refused(capsys, 2, "optimize", "-C", workspace)


@pytest.mark.parametrize("command", ["run", "optimize", "ab"])
def test_a_harness_that_does_not_start_is_refused_before_tasks_are_checked(
    bubblewrap: None, command: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "rows.jsonl").write_text("".join(f'{{"q": "{n}?", "a": "{n}"}}\n' for n in range(9)))
    table = '[benchmark]\nsource = "hf:rows.jsonl"\n[benchmark.hf]\ninstruction = "q"\nanswer = "a"\n'
    (workspace / "lorimer.toml").write_text(f'{table}[sandbox]\nprovider = "bubblewrap"\n')
    harness = workspace / "harness" / "agent.py"
    harness.write_text(f"{harness.read_text()}\nimport os\n\nKEY = os.environ['OPENAI_API_KEY']\n")
    subprocess.run(["git", "-C", workspace, "commit", "-qam", "Mine"], check=True)
    (workspace / "b.py").write_text(harness.read_text().replace("KEY", "OTHER"))
    files = (harness, workspace / "b.py", "--yes") if command == "ab" else ()
    said = typed(capsys, command, *files, "-C", workspace)
    assert said.code == 2
    assert "does not start: KeyError: 'OPENAI_API_KEY'" in said.err.splitlines()[-1]
    assert typed(capsys, "studies", "-C", workspace, "--json").json() == []


def test_names_that_do_not_exist(used: tuple[Path, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = used
    there = "there are: run-1, check-1, study-1"
    for command in ("status --study", "log --study", "traces ls --study", "traces search word --study", "resume"):
        assert there in refused(capsys, 2, *command.split(), "study-9", "-C", root)
    assert there in refused(capsys, 2, "export", tmp_path / "out", "--study", "study-9", "-C", root)
    assert "there is no trial nothing" in refused(capsys, 2, "traces", "show", "nothing", "-C", root)
    assert "is not unique" in refused(capsys, 2, "traces", "show", "run-1", "-C", root)
    assert "is a run, so it has no winner" in refused(capsys, 2, "export", tmp_path, "--study", "run-1", "-C", root)
    assert "check-1 is a check, which is not resumed" in refused(capsys, 2, "resume", "check-1", "-C", root)
    assert "no task matches 'nope'" in refused(capsys, 2, "run", "nope", "-C", root)


def test_a_store_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".lorimer").mkdir()
    (tmp_path / ".lorimer" / "lorimer.db").write_text("this is no database, only words " * 100)
    assert "is not a trace store" in refused(capsys, 2, "status", "-C", tmp_path)


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lorimer.toml").mkdir()
    assert "lorimer.toml: cannot be read: Is a directory" in refused(capsys, 2, "run", "-C", tmp_path)


def test_exit_codes_follow_the_tree_of_errors() -> None:
    assert failures.explain(PrerequisiteError("a", "b")).exit_code == 3
    assert failures.explain(SandboxError("two\nlines")) == failures.Failure("two lines", 1)
    full = failures.explain(OSError(28, "No space left on device", "/x/lorimer.db"))
    assert full == failures.Failure("/x/lorimer.db: No space left on device", 1)


@pytest.mark.parametrize(
    "command", [(), ("--help",), ("traces",), ("status", "-h"), ("doctor", "--json"), ("benchmarks", "ls")]
)
def test_a_full_disk_under_the_output_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*LORIMER, *command], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.stderr == "lorimer: standard output: No space left on device\n"
    assert ended.returncode == 1


def test_a_study_whose_output_takes_no_more_stops_and_can_be_resumed(bubblewrap: None, workspace: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [*LORIMER, "run", "-C", str(workspace)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "lorimer: standard output: No space left on device\n"
    assert ended.returncode == 1
    assert process("resume", "-C", workspace).code == 0


def test_an_error_with_the_output_closed_is_a_line_too(tmp_path: Path) -> None:
    line = ["sh", "-c", 'exec "$@" >&-', "sh", *LORIMER, "status", "-C", str(tmp_path)]
    ended = subprocess.run(line, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr.startswith("lorimer: no lorimer.toml in ")
    assert (ended.stderr.count("\n"), ended.returncode) == (1, 2)


def test_our_own_bugs_say_so_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (KeyError("x"), InternalError("x"), RuntimeError("two\nlines")):

        def fail(error: Exception = error) -> None:
            raise error

        assert cli.guarded(fail) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"lorimer: this is a bug in lorimer: {type(error).__name__}: ")
        assert "(cli.py:" in said
        assert said.endswith("; the same command with --debug shows the traceback\n")
        assert said.count("\n") == 1
        with pytest.raises(type(error)):
            cli.guarded(fail, debug=True)


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    for arguments in (("--debug", "status"), ("status", "--debug")):
        said = process(*arguments, "-C", tmp_path)
        assert said.code == 1
        assert "Traceback (most recent call last)" in said.err
        assert "UserError: no lorimer.toml in" in said.err


def test_gc_has_something_to_say(workspace: Path, works: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    if not works["bubblewrap"]:
        pytest.skip("bubblewrap does not work on this machine")
    assert typed(capsys, "gc", "-C", workspace).out.startswith("removed ")
    assert isinstance(typed(capsys, "gc", "-C", workspace, "--json").json()["removed"], int)


def test_a_stored_study_knows_what_of_a_provider_was_set() -> None:
    """Else a resumed study would take [providers.openai] for a provider without a key, as its defaults are not the built-in's."""
    stored = config.parse({"providers": {"openai": {"concurrency": 4}}}).model_dump(mode="json")
    assert stored["providers"] == {"openai": {"concurrency": 4}}
    again = provider_config("openai", config.parse(stored).providers["openai"])
    assert (again.key_env, again.api, again.concurrency) == ("OPENAI_API_KEY", "responses", 4)
