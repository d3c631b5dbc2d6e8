"""Data sets in folders, at any depth, with and without a dataset.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.benchmarks.base import RewardFiles, Suite
from lorimer.benchmarks.harbor.benchmark import HarborBenchmark
from lorimer.benchmarks.harbor.variables import HostVariables
from lorimer.config.settings import parse
from lorimer.errors import ConfigError
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.scale import Scale
from tests.benchmarks.test_harbor import make

DIGEST = "sha256:" + "0" * 64


def load(root: Path, *only: str) -> Suite:
    return HarborBenchmark(root, host=HostVariables({})).load(only)


def names(suite: Suite) -> list[str]:
    return [task.id for task in suite.tasks]


def test_sets_may_lie_in_folders_of_folders(tmp_path: Path) -> None:
    for path in ("one", "easy/two", "hard/maths/three", "hard/maths/deep/four", ".hidden/five"):
        make(tmp_path / path)
    suite = load(tmp_path)
    assert (suite.name, names(suite), suite.problems) == (tmp_path.name, ["four", "one", "three", "two"], ())


def test_what_lies_inside_a_task_is_no_task(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "one" / "environment" / "inner")
    assert names(load(tmp_path)) == ["one"]


def test_one_id_in_two_sets_is_said(tmp_path: Path) -> None:
    make(tmp_path / "a" / "same")
    make(tmp_path / "b" / "c" / "same")
    suite = load(tmp_path)
    assert names(suite) == ["same"]
    assert str(suite.problems[0]) == f"task same: folder name: another data set of {tmp_path} has this id too"


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    make(tmp_path / "set" / "one")
    (tmp_path / "set" / "again").symlink_to(tmp_path)
    assert names(load(tmp_path)) == ["one"]


def manifest(folder: Path, *tasks: str, name: str = "org/numbers") -> None:
    listed = "".join(f'[[tasks]]\nname = "{task}"\ndigest = "{DIGEST}"\n' for task in tasks)
    (folder / "dataset.toml").write_text(f'schema_version = "1.0"\n[dataset]\nname = "{name}"\nversion = "2"\n{listed}')


def test_a_manifest_names_the_set_and_its_tasks(tmp_path: Path) -> None:
    for name in ("one", "two", "extra"):
        make(tmp_path / name)
    manifest(tmp_path, "org/one", "org/two", "org/three")
    suite = load(tmp_path)
    assert (suite.name, names(suite)) == ("numbers", ["one", "two"])
    assert [str(bad) for bad in suite.problems] == [
        f"task three: dataset.toml: lists org/three, and there is no such task in {tmp_path}"
    ]
    assert load(tmp_path, "two").problems == ()


def test_a_manifest_without_tasks_leaves_all_of_them_in(tmp_path: Path) -> None:
    make(tmp_path / "one")
    manifest(tmp_path)
    assert (load(tmp_path).name, names(load(tmp_path))) == ("numbers", ["one"])


def test_each_set_has_its_own_manifest(tmp_path: Path) -> None:
    for path in ("a/one", "a/two", "b/three"):
        make(tmp_path / path)
    manifest(tmp_path / "a", "org/one", name="org/a")
    suite = load(tmp_path)
    assert (suite.name, names(suite)) == (tmp_path.name, ["one", "three"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[dataset", "not valid TOML: "),
        ("[dataset]\n", "dataset.name: Field required"),
        ('[dataset]\nname = "a/b"\ncolour = 1\n', "dataset.colour: no such key in a dataset.toml"),
        ('[dataset]\nname = "a/b"\n[[tasks]]\nname = "../up"\n', "tasks.0.name: String should match"),
        ("\0", "holds a NUL byte"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    make(tmp_path / "one")
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'dataset.toml'}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def verifier_says(task: Path, line: str) -> None:
    path = task / "task.toml"
    path.write_text(path.read_text().replace("[verifier]\n", f"[verifier]\n{line}\n"))


def test_a_scale_of_rewards_is_the_tasks_own_or_the_workspaces(tmp_path: Path) -> None:
    make(tmp_path / "set" / "plain")
    make(tmp_path / "set" / "own")
    verifier_says(tmp_path / "set" / "own", 'scale = "unbounded"')
    found = {}
    for scale in (None, (0, 2.6)):
        settings = parse({"benchmark": {"source": "harbor:set"}, "verifier": {"scale": scale}})
        for task in load_suite(tmp_path, settings).tasks:
            assert isinstance(task.reward, RewardFiles)
            found[task.id, scale is None] = (task.reward.scale, task.is_scaled, task.digest)
    assert found["plain", True][:2] == (None, False)
    assert found["plain", False][:2] == (Scale(0.0, 2.6), True)
    assert found["own", True] == found["own", False]
    assert found["own", True][:2] == (Scale(), True)
    # Checked on the one, a task is not yet checked on the other.
    assert found["plain", True][2] != found["plain", False][2]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("[1, 0]", "its first number, 1, must be less than its second, 0 (given: [1, 0])"),
        ("[0, inf]", "must be two finite numbers (given: [0, inf])"),
    ],
)
def test_a_scale_that_is_none_is_told_with_its_key(tmp_path: Path, said: str, problem: str) -> None:
    make(tmp_path / "set" / "bad")
    verifier_says(tmp_path / "set" / "bad", f"scale = {said}")
    with pytest.raises(ConfigError) as caught:
        load_suite(tmp_path, parse({"benchmark": {"source": "harbor:set"}}))
    assert str(caught.value).endswith(f"task bad: [verifier] scale: {problem}")


def test_which_named_reward_counts_is_chosen_in_the_settings(tmp_path: Path) -> None:
    make(tmp_path / "set" / "one")
    plain, styled = (
        load_suite(tmp_path, parse({"benchmark": {"source": "harbor:set"}, "verifier": verifier})).tasks[0]
        for verifier in ({}, {"reward_key": "style"})
    )
    assert (plain.reward, styled.reward) == (RewardFiles(), RewardFiles(key="style"))
    # Checked by the one, a task is not yet checked by the other.
    assert plain.digest != styled.digest
