"""What was run can be read: as text, as JSON, while it is there."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from lorimer.benchmarks.split import split
from lorimer.benchmarks.unread import nothing_in
from lorimer.config import settings as config
from lorimer.errors import TaskError
from lorimer.meta_agent.study.ran import lacking
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.traces.tables import Trial
from tests.cli.support import Said, process, refused, typed

Used = tuple[Path, dict[str, Said]]


def test_a_run_says_each_task_and_the_score(used: Used) -> None:
    said = used[1]["run"]
    assert said.code == 0
    assert said.err == ""
    assert said.out.splitlines()[-1].startswith("run-1: score 0.")
    assert said.out.count("run-1/baseline/baseline/") == 4


def test_a_check_says_what_oracle_and_nop_scored(used: Used) -> None:
    lines = used[1]["check"].lines()
    assert [line["event"] for line in lines] == ["ImageReady", *["TrialFinished"] * 4, "Result"]
    for row in lines[-1]["result"]:
        assert (row["oracle"], row["nop"], row["isolation"], row["verdict"]) == (1.0, 0.0, "restart", "valid")


def test_a_study_ends_with_where_it_stands(used: Used) -> None:
    said = used[1]["optimize"]
    assert said.code == 0
    assert said.err == ""
    assert "study study-1: 2 train tasks and 2 sealed ones of starter, simulated/apprentice" in said.out
    assert "study-1/c001: " in said.out
    assert "study-1 (optimize): finished: budget.candidates: 1 of 1 tried" in said.out


def test_a_finished_study_resumed_runs_nothing(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    before = typed(capsys, "status", "--study", "study-1", "-C", used[0], "--json").json()
    said = typed(capsys, "resume", "study-1", "-C", used[0], "--quiet")
    assert said.code == 0
    assert typed(capsys, "status", "--study", "study-1", "-C", used[0], "--json").json() == before


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "benchmarks ls",
        "benchmarks ls starter",
        "status",
        "status --study run-1",
        "status --study check-1",
        "log",
        "log --study run-1",
        "gate replay",
        "gate replay study-1 --policy strict",
        "power",
        "power --study study-1",
        "power --assume 0.9x2,0.4x2",
        "traces ls",
        "traces ls --study study-1 --state scored --stage baseline --limit 3",
        "traces ls --task nothing",
        "traces show run-1/baseline/baseline/code-noisy-ci/0/0",
        "traces search python",
        "traces search nothing-like-this",
        "traces sql SELECT~id,kind~FROM~study",
        "gc",
    ],
)
def test_every_listing_is_text_and_json(command: str, used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [argument.replace("~", " ") for argument in command.split()]
    text = typed(capsys, *arguments, "-C", used[0])
    cut = "lorimer: only the first 3 trials are shown; --limit shows more\n" if "--limit 3" in command else ""
    assert (text.code, text.err) == (0, cut)
    assert text.out.strip()
    found = typed(capsys, *arguments, "-C", used[0], "--json")
    assert (found.code, found.err) == (0, cut)
    assert found.json() is not None


def test_a_suite_too_small_to_promote_anything_is_said_before_and_on_asking(
    used: Used, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "warning: no edit can be promoted: 2 train tasks with 1 trial each against 2 are too few for gate.alpha"
    assert warning in used[1]["optimize"].out
    few = ("--set", "gate.policy=paired", "--set", "gate.repeats=1")
    said = typed(capsys, "power", "--assume", "0.5x2", *few).out
    assert warning in said
    assert "or set gate.repeats to 2 or more" in said
    assert said.startswith("a new study: policy paired, alpha 0.1; ")
    assert "[default: (a new study)]" in " ".join(typed(capsys, "power", "--help").out.split())
    assert typed(capsys, "power", "-C", used[0]).out.startswith("a new study: policy paired, ")
    assert typed(capsys, "power", "--study", "run-1", "-C", used[0]).out.startswith("a new study: ")
    assert typed(capsys, "power", "--study", "study-1", "-C", used[0]).out.startswith(
        "the rest of study-1: policy paired, "
    )
    assert typed(capsys, "power", "--study", "study-1", "-C", used[0], "--json").json()["rest_of"] == "study-1"
    found = typed(capsys, "power", "-C", used[0], "--json").json()
    assert found["rest_of"] == ""
    assert (found["study"], found["tasks"], found["reachable"]) == ("study-1", 2, False)
    assert (found["lacking"]["kind"], found["lacking"]["needs_trials"]) == ("few", 24)
    assert (found["noise"], found["null"], found["null_candidate"]) == (None, None, None)


def test_power_in_the_order_of_the_readme_says_that_it_knows_too_little(
    bubblewrap: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run` on five tasks, then `power`: it names a run, whose sample holds as many train tasks as it takes."""
    root = tmp_path / "work"
    assert typed(capsys, "init", root).code == 0
    here = ("-C", root, "--set", "sandbox.provider=bubblewrap")
    assert process("run", "--set", "benchmark.limit=5", *here).code == 0
    said = typed(capsys, "power", "-C", root).out
    assert "trials of 2 of 28 train tasks (run-1/baseline)" in said
    assert (
        "2 trials of 2 of 28 train tasks are too few to tell; it takes 24 scored trials or more, of 8 tasks or more"
        in said
    )
    assert "points (SD)" not in said
    assert "of edits without effect" not in said
    words = shlex.split(said.partition("run: `lorimer ")[2].partition("`")[0])
    assert words[:4] == ["run", "--repeats", "3", "--set"]
    assert words[5:] == ["-C", str(root)]
    whole = config.load(root / "lorimer.toml")
    train = split(load_suite(root, whole).tasks, whole.split, whole.study.seed).train
    sample = load_suite(root, config.load(root / "lorimer.toml", config.overrides([words[4]]))).tasks
    assert sum(task.id in train for task in sample) == 8


def test_a_study_is_decided_again_from_what_it_stored(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "gate", "replay", "study-1", "-C", used[0]).out
    assert said.startswith("study-1 under policy paired, alpha 0.1 per candidate, futility 0.2, 1 trial per task")
    assert "0 decisions change of 1" in said
    assert said.endswith("; --all tells of each\n")
    assert ", as before\n" in typed(capsys, "gate", "replay", "study-1", "--all", "-C", used[0]).out
    root = used[0]
    assert "run-1 is a run, which decides nothing" in refused(capsys, 2, "gate", "replay", "run-1", "-C", root)
    assert "there is no study nine" in refused(capsys, 2, "gate", "replay", "nine", "-C", root)
    assert "less than 0.5" in refused(capsys, 2, "gate", "replay", "study-1", "--alpha", "0.5", "-C", root)
    assert "--policy" in refused(capsys, 2, "gate", "replay", "study-1", "--policy", "kind", "-C", root)
    wrong = refused(capsys, 2, "gate", "replay", "study-1", "--set", "budget.trials=4", "-C", root)
    assert "only [gate] can be changed" in wrong


def test_power_refuses_what_it_cannot_use(used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'lots' is none" in refused(capsys, 2, "power", "--assume", "lots")
    assert "there is no study nine" in refused(capsys, 2, "power", "--study", "nine", "-C", used[0])
    assert f"`lorimer init {tmp_path}` makes one" in refused(capsys, 2, "power", "-C", tmp_path)


def test_trials_are_filtered(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    def ids(*filters: str) -> list[str]:
        return [row["id"] for row in typed(capsys, "traces", "ls", "-C", used[0], "--json", *filters).json()]

    assert all(id_.startswith("study-1/") for id_ in ids("--study", "study-1"))
    assert {id_.split("/")[2] for id_ in ids("--study", "study-1", "--stage", "holdout")} == {"holdout"}
    assert len(ids("--limit", "2")) == 2
    seed = typed(capsys, "traces", "ls", "--study", "run-1", "-C", used[0], "--json").json()[0]["harness"]
    assert ids("--harness", seed[:10], "--study", "run-1") == ids("--study", "run-1")
    assert ids("--harness", "oracle", "--all")
    assert ids("--state", "errored") == []


def test_a_trial_is_shown_from_the_first_message_to_the_verdict(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    trials = typed(capsys, "traces", "ls", "--study", "run-1", "-C", used[0], "--json").json()
    trial = max(trials, key=lambda found: found["model_calls"])["id"]
    text = typed(capsys, "traces", "show", trial, "-C", used[0]).out
    for part in ("  system:", "  user:", "  assistant:", "$ ", "exit code", "stop: end", "verdict  scored", "reward"):
        assert part in text
    assert typed(capsys, "traces", "show", trial[:-2], "-C", used[0]).out == text
    one = typed(capsys, "traces", "show", trial, "--first", "1", "--last", "1", "-C", used[0], "--json").json()
    assert [step["index"] for step in one["steps"]] == [1]
    assert one["trial"]["id"] == trial
    assert len(typed(capsys, "traces", "show", trial, "--full", "-C", used[0]).out) >= len(text)


def test_the_session_that_proposed_a_candidate_is_shown(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    text = typed(capsys, "traces", "show", "study-1/c001", "-C", used[0]).out
    for part in ("study-1/c001\n", "You improve an AI agent", "-> list_failures(", "-> propose_edit("):
        assert part in text
    session = typed(capsys, "traces", "show", "study-1/c001", "-C", used[0], "--json").json()
    assert session["candidate"]["id"] == "study-1/c001"
    assert session["steps"]


def test_search_finds_what_was_run(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    hits = typed(capsys, "traces", "search", "python3 OR cat", "--study", "run-1", "-C", used[0], "--json").json()
    assert hits
    assert all(hit["owner"].startswith("run-1/") for hit in hits)
    assert typed(capsys, "traces", "search", 'a "broken (query', "-C", used[0]).code == 0


def test_sql_only_reads(used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()

    def sql(statement: str) -> str:
        return refused(capsys, 2, "traces", "sql", statement, "-C", used[0])

    for statement in (
        "DELETE FROM trial",
        "UPDATE trial SET reward = 1",
        "DROP TABLE step",
        "CREATE TABLE x (y)",
        f"ATTACH '{beside}/other.db' AS other",
        f"VACUUM INTO '{beside}/copy.db'",
        "PRAGMA journal_mode = DELETE",
    ):
        assert "only reads" in sql(statement)
    assert "no such table: no_such" in sql("SELECT * FROM no_such")
    assert sql("SELECT 1; SELECT 2").startswith("lorimer: SQL: ")
    assert list(beside.iterdir()) == []
    count = typed(capsys, "traces", "sql", "SELECT count(*) AS n FROM trial", "-C", used[0], "--json").json()
    assert count[0]["n"] >= 12


def test_sql_says_when_it_shows_only_a_part(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "traces", "sql", "SELECT id FROM trial", "--limit", "2", "-C", used[0], "--json")
    assert len(said.json()) == 2
    assert said.err == "lorimer: only the first 2 rows are shown; --limit shows more\n"


@pytest.mark.parametrize(
    ("words", "what"), [(("ls", "--study", "study-1"), "trials"), (("search", "python3 OR cat"), "steps")]
)
def test_a_listing_of_traces_says_when_it_shows_only_a_part(
    used: Used, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], what: str
) -> None:
    def said(limit: int, *more: str) -> Said:
        return typed(capsys, "traces", *words, "--limit", str(limit), *more, "-C", used[0])

    every = len(said(10_000, "--json").json())
    cut = f"lorimer: only the first 2 {what} are shown; --limit shows more\n"
    assert (len(said(2, "--json").json()), said(2, "--json").err) == (2, cut)
    assert (len(said(2).out.splitlines()), said(2).err) == (3, cut)
    assert (len(said(every, "--json").json()), said(every).err) == (every, "")


def test_export_writes_the_winner_once(used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "winner"
    said = typed(capsys, "export", out, "-C", used[0]).out
    assert said.count("wrote ") == 4
    assert said.count("\nscore: ") == 1
    assert said.splitlines()[-1].startswith("simulated: ")
    assert "\nscore: " in typed(capsys, "export", tmp_path / "library", "--to", "library", "-C", used[0]).out
    assert "an export is a folder; `lorimer harness champion" in refused(capsys, 2, "export", "-", "-C", used[0])
    assert refused(capsys, 2, "traces", "export", "--to", "jsonl", "-o", "-", "-C", used[0]).startswith(
        "lorimer: -o -: "
    )
    assert "`lorimer harness c001" in refused(capsys, 2, "export", tmp_path / "c001", "--at", "c001", "-C", used[0])
    assert (out / "agent.py").read_text() == (used[0] / "harness" / "agent.py").read_text()
    assert "**Simulated.**" in (out / "EVIDENCE.md").read_text()
    assert "overwrite it with --force" in refused(capsys, 2, "export", out, "-C", used[0])
    assert typed(capsys, "export", out, "-C", used[0], "--force", "--json").json()["promotions"] == 0


def test_named_tasks_run_quietly_or_as_json_lines(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    task = typed(capsys, "benchmarks", "ls", "-C", used[0], "--json").json()["tasks"][0]["task"]
    quiet = typed(capsys, "run", task, "--quiet", "-C", used[0])
    assert quiet.out.splitlines()[0].startswith("task ")
    assert len(quiet.out.splitlines()) == 3
    lines = typed(capsys, "run", task, "--repeats", "2", "--json", "-C", used[0]).lines()
    assert [line["event"] for line in lines].count("TrialFinished") == 2
    assert lines[-1]["event"] == "Result"
    assert lines[-1]["result"]["tasks"][0]["trials"] == 2


def test_a_run_and_a_study_say_at_which_line_the_harness_broke(
    bubblewrap: None, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = workspace / "harness" / "agent.py"
    agent.write_text("def helper():\n    return {}['lost']\n\n\ndef solve(task, env, llm):\n    return helper()\n")
    subprocess.run(["git", "-C", workspace, "commit", "-qam", "broken"], check=True)
    for command, study in (("run", "run-1"), ("optimize", "study-1")):
        said = typed(capsys, command, "--quiet", "-C", workspace)
        assert said.code == 1
        assert said.err.startswith(
            f"lorimer: {study} is paused: the seed harness broke in 4 trials of 4 at agent.py line 2, in helper, so its score "
            f"says nothing of how it works: \"KeyError: 'lost'\"; `lorimer traces show {study}/baseline/baseline/"
        )
        assert said.err.endswith(f" -C {workspace}` shows one of them; mend it, commit it, and begin anew\n")
        assert "harness_exception: " not in said.out, "the last line says it"
        shown = said.err.rpartition("traces show ")[2].split()[0]
        assert "KeyError: 'lost'" in typed(capsys, "traces", "show", shown, "-C", workspace).out
    first = load_suite(workspace, config.load(workspace / "lorimer.toml")).tasks[0].instruction
    agent.write_text(
        f"def solve(task, env, llm):\n    if task.instruction == {first!r}:\n        return {{}}['lost']\n    return ''\n"
    )
    said = typed(capsys, "run", "--quiet", "-C", workspace)
    assert said.code == 0
    assert "harness_exception: 1 trial of 4 at agent.py line 3, in solve: \"KeyError: 'lost'\"; `lorimer " in said.out


def test_verifiers_that_lack_the_same_thing_on_all_tasks_are_told_where_nothing_has_a_reward() -> None:
    def trial(task: str, said: str, reward: float | None = 0.0, cause: str = "finished") -> Trial:
        about = {"id": "t", "planned": "t", "study": "s", "evaluation": "s/e", "stage": "baseline", "harness": "h"}
        ran = {"repeat": 0, "attempt": 0, "model": "m", "started": "", "state": "scored", "rewards": {}, "flags": []}
        told = {"task": task, "verifier_output": f"checking\n{said}\n", "reward": reward, "cause": cause}
        return Trial.model_validate(about | ran | told)

    numpy, pandas = (f"ModuleNotFoundError: No module named '{name}'" for name in ("numpy", "pandas"))
    assert lacking([trial("a", numpy), trial("b", numpy)]) == numpy
    assert lacking([trial("a", numpy), trial("b", numpy), trial("c", numpy, None)]) == numpy
    assert lacking([trial("a", numpy), trial("b", numpy, 0.5)]) == ""
    assert lacking([trial("a", numpy), trial("b", pandas)]) == ""
    assert lacking([trial("a", numpy), trial("a", numpy)]) == "", "one task may be what it asks for"
    assert lacking([trial("a", "1 failed"), trial("b", "1 failed")]) == ""
    broke = trial("b", numpy, cause="harness_exception")
    assert lacking([trial("a", numpy), broke]) == "", "that is the harness's doing"


def test_the_test_side_runs_after_its_study_and_never_in_it(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = used[0]
    assert "study-1 has no test side; set [split] test or test_file" in refused(
        capsys, 2, "run", "--test", "-C", workspace
    )
    sides = ("benchmark.limit=6", "split.holdout=0", "split.test=0.4", "gate.champion_repeats=1")
    arguments = [part for setting in sides for part in ("--set", setting)]
    said = process("optimize", "-C", workspace, *arguments)
    assert said.code == 0, said
    found = typed(capsys, "status", "-C", workspace, "--json").json()
    assert (found["train"], found["holdout"]) == (6 - found["test"], 0)
    assert found["test"] in (2, 3)
    assert f"{found['test']} for the test" in typed(capsys, "status", "-C", workspace).out
    assert "names its tasks by itself; leave out data-*" in refused(
        capsys, 2, "run", "--test", "data-*", "-C", workspace
    )
    lines = typed(capsys, "run", "--test", "--json", "-C", workspace, *arguments).lines()
    ran = {row["task"] for row in lines[-1]["result"]["tasks"]}
    assert len(ran) == found["test"]
    told = typed(
        capsys,
        "traces",
        "sql",
        "SELECT id FROM task WHERE study = 'study-2' AND split = 'test'",
        "-C",
        workspace,
        "--json",
    )
    assert ran == {row["id"] for row in told.json()}
    in_study = (
        "SELECT count(*) AS n FROM trial WHERE study = 'study-2' AND task IN (SELECT id FROM task WHERE split = 'test')"
    )
    assert typed(capsys, "traces", "sql", in_study, "-C", workspace, "--json").json() == [{"n": 0}]


def test_a_run_that_its_budget_cuts_short_says_so_and_how_to_go_on(used: Used) -> None:
    root = used[0]
    limits = ("--set", "benchmark.limit=4", "--set", "budget.trials=2")
    said = process("run", "--quiet", "-C", root, *limits)
    assert said.code == 0
    cut, ended = said.out.splitlines()[-2:]
    study = cut.partition(":")[0]
    assert cut.startswith(f"{study}: no score; ")
    resume = f"lorimer resume {study} --set budget.trials=4 -C {root}"
    assert ended == f"ended: budget.trials: 2 of 2 used; `{resume}` goes on"
    assert process(*shlex.split(resume)[1:], "--quiet").code == 0
    whole = process("run", "--quiet", "-C", root, *limits[:2])
    assert "\nended: " not in whole.out


def test_a_study_that_is_stopped_by_the_world_is_paused_and_exits_with_1(
    used: Used, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        "models.task=mine/m",
        "providers.mine.base_url=http://127.0.0.1:9/v1",
        "providers.mine.retry.window_seconds=0.1",
        "benchmark.limit=1",
    ]
    arguments = [part for setting in settings for part in ("--set", setting)]
    said = process("run", "--quiet", "-C", used[0], *arguments)
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "is paused: " in said.err
    assert "`lorimer resume run-" in said.err


def test_doctor_finds_a_workspace_in_order(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    found = {row["what"]: row for row in typed(capsys, "doctor", "-C", used[0], "--json").json()}
    with_an_engine = {"buildkit"} if found["docker"]["level"] == "ok" else set()
    assert set(found) - with_an_engine == {
        "python", "git", "disk", "workspace", "harness", "docker", "bubblewrap", "sandbox", "jail", "task model", "meta model",
        "keys", ".env", "benchmark",
    }  # fmt: skip
    assert found["sandbox"]["said"] == "bubblewrap is used"
    assert found["benchmark"]["said"] == "starter: 4 tasks, 2 of them sealed"


# ---- benchmarks


def suite(root: Path) -> Path:
    """Three Harbor tasks: a sound one, one that doing nothing solves, one that cannot be read."""
    for name, solved in (("sound", "/app/done"), ("open", "/bin/sh")):
        task = root / name
        for folder in ("environment", "tests", "solution"):
            (task / folder).mkdir(parents=True)
        (task / "task.toml").write_text(
            '[environment]\ndocker_image = "python:3.12-slim"\nallow_internet = false\nworkdir = "/app"\n'
            '[metadata]\ndifficulty = "easy"\ncategory = "files"\n'
        )
        (task / "instruction.md").write_text("Make the file done.\n")
        (task / "tests" / "test.sh").write_text(
            f"test -e {solved} && r=1 || r=0; echo $r > /logs/verifier/reward.txt; echo wrote $r\n"
        )
        (task / "solution" / "solve.sh").write_text("touch /app/done\n")
    bad = root / "bad"
    (bad / "tests").mkdir(parents=True)
    (bad / "task.toml").write_text("[environment]\ngpus = 2\n")
    (bad / "instruction.md").write_text("Train.\n")
    (bad / "tests" / "test.sh").write_text("true\n")
    return root


def test_a_bad_task_is_listed_by_name_and_the_rest_still_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"harbor:{suite(tmp_path / 'suite')}"
    said = typed(capsys, "benchmarks", "ls", source, "-C", tmp_path)
    assert said.code == 0
    assert said.out.splitlines()[-1] == "suite: 2 tasks, 1 that cannot be read"
    assert said.err == "left out: task bad: [environment] gpus: GPUs are not supported\n"
    found = typed(capsys, "benchmarks", "ls", source, "-C", tmp_path, "--json").json()
    assert [task["task"] for task in found["tasks"]] == ["open", "sound"]
    assert found["problems"] == ["task bad: [environment] gpus: GPUs are not supported"]
    assert "no such folder" in refused(capsys, 2, "benchmarks", "ls", "harbor:none", "-C", tmp_path)


def test_where_no_task_can_be_read_each_is_listed_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("gpu", "[environment]\ngpus = 2\n"), ("typo", 'description = "\\s"\n')):
        (tmp_path / "suite" / name).mkdir(parents=True)
        (tmp_path / "suite" / name / "task.toml").write_text(text)
    source = f"harbor:{tmp_path / 'suite'}"
    said = typed(capsys, "benchmarks", "ls", source, "-C", tmp_path)
    assert said.code == 2
    gpu, typo = said.err.splitlines()
    assert gpu == "left out: task gpu: [environment] gpus: GPUs are not supported"
    assert typo.startswith("left out: task typo: task.toml: not valid TOML: ")
    assert said.out.splitlines() == ["suite: 0 tasks, 2 that cannot be read"]
    found = typed(capsys, "benchmarks", "ls", source, "-C", tmp_path, "--json")
    assert (found.code, len(found.json()["problems"])) == (2, 2)


def test_one_line_tells_reasons_of_many_tasks_together() -> None:
    bad = [TaskError(f"t{at}", "category", "no such key") for at in range(60)]
    bad += [TaskError(f"u{at}", f"k{at}", "is empty") for at in range(4)]
    said = nothing_in("harbor:set", bad)
    assert said == (
        "benchmark.source: harbor:set: none of its 64 tasks can be read: task t0 and 59 more: category: no such key; "
        "task u0: k0: is empty; task u1: k1: is empty; 2 other reasons: `lorimer benchmarks ls harbor:set` says each"
    )
    assert nothing_in("harbor:set", []) == "benchmark.source: harbor:set holds no task"


def test_outside_a_workspace_the_kinds_of_benchmark_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = typed(capsys, "benchmarks", "ls", "-C", tmp_path)
    assert said.code == 0
    assert ["harbor", "harbor:DIR"] in [line.split() for line in said.out.splitlines()]
    assert typed(capsys, "benchmarks", "ls", "-C", tmp_path, "--json").json()["starter"] == "starter"


@pytest.mark.docker
def test_a_check_tells_which_tasks_can_be_scored(
    docker: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"harbor:{suite(tmp_path / 'suite')}"
    said = typed(capsys, "benchmarks", "check", source, "--repeats", "2", "-C", tmp_path)
    assert said.code == 1
    assert "left out: task bad: [environment] gpus" in said.out
    assert "nop scored 1, not 0" in said.out
    *_, valid, shown = said.out.splitlines()
    assert valid == "1 of 2 tasks are valid"
    trial = shown.partition("`lorimer traces show ")[2].split()[0].strip("`")
    assert "/nop/open" in trial
    assert "wrote 1" in typed(capsys, "traces", "show", trial, "-C", tmp_path).out
    alone = typed(capsys, "benchmarks", "check", source, "--task", "sound", "-C", tmp_path, "--json")
    assert alone.code == 0
    assert json.loads(alone.out.splitlines()[-1])["result"][0]["verdict"] == "valid"
