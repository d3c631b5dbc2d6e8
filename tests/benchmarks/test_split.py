"""Which tasks are sealed: by share, by strata, by likeness, by file; and the same ones every time."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.benchmarks.base import Script, Task
from lorimer.benchmarks.split import Split, around, grown, near_equal, select, shares, split
from lorimer.config.settings import BenchmarkSettings, SplitSettings, parse
from lorimer.errors import ConfigError
from lorimer.sandbox.base import PythonImage


def task(id_: str, *, instruction: str = "", category: str = "", difficulty: str = "") -> Task:
    verifier = Script(Path("tests"), "/tests", "bash /tests/test.sh", 60.0)
    # Words of no other task, so that nothing is alike by accident.
    text = instruction or " ".join(f"{id_}{letter}" for letter in "abcdefghij")
    return Task(id_, text, PythonImage(), verifier, category=category, difficulty=difficulty)


def many(count: int) -> list[Task]:
    return [
        task(f"t{'abcdefghijklmnopqrstuvwxyz'[n // 26]}{'abcdefghijklmnopqrstuvwxyz'[n % 26]}") for n in range(count)
    ]


@given(st.integers(4, 60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_every_task_is_on_one_side_and_both_sides_have_some(count: int, share: float, seed: int) -> None:
    tasks = many(count)
    result = split(tasks, SplitSettings(holdout=share), seed)
    assert sorted(result.train + result.holdout + result.test) == [t.id for t in tasks]
    assert result.train
    assert result.holdout
    assert bool(result.test) == (count == 60)
    # Whole tasks are drawn, and what the test side takes beyond its share, or short of it, is left out of the pool.
    assert abs(len(result.holdout) - share * count) <= (2 if result.test else 1)


@pytest.mark.parametrize(
    ("count", "train", "holdout", "test"), [(59, 41, 18, 0), (60, 36, 15, 9), (100, 60, 25, 15), (400, 240, 100, 60)]
)
def test_a_large_suite_keeps_a_test_side_unasked(count: int, train: int, holdout: int, test: int) -> None:
    for seed in range(5):
        result = split(many(count), SplitSettings(), seed)
        sides = [len(side) for side in (result.train, result.holdout, result.test)]
        assert all(abs(size - wanted) <= 1 for size, wanted in zip(sides, (train, holdout, test), strict=True)), sides


@pytest.mark.parametrize(("train", "beside"), [(14, (6, 0)), (35, (15, 0)), (36, (15, 9)), (60, (25, 15))])
def test_the_tasks_beside_those_to_train_on_are_those_of_the_largest_suite(train: int, beside: tuple[int, int]) -> None:
    assert around(train, SplitSettings()) == beside
    assert around(40, SplitSettings(holdout=0.5, test=0.1)) == (50, 10)


def test_what_is_asked_for_is_kept_whatever_a_large_suite_would_have_by_itself(tmp_path: Path) -> None:
    tasks = many(100)
    assert not split(tasks, SplitSettings(test=0.0), 1).test
    assert 29 <= len(split(tasks, SplitSettings(test=0.0), 1).holdout) <= 31
    sealed = split(tasks, SplitSettings(holdout=0.5), 1)
    assert (49 <= len(sealed.holdout) <= 51, 9 <= len(sealed.test) <= 11) == (True, True)
    (tmp_path / "sealed").write_text("\n".join(task.id for task in tasks[:20]))
    assert not split(tasks, SplitSettings(holdout_file="sealed"), 1, base=tmp_path).test
    assert shares(SplitSettings(test=0.2), 100) == (0.3, 0.2)


def test_the_order_of_the_tasks_does_not_matter_and_the_seed_does() -> None:
    tasks = many(40)
    first = split(tasks, SplitSettings(), 7)
    random.Random(1).shuffle(tasks)
    assert split(tasks, SplitSettings(), 7) == first
    assert len({split(tasks, SplitSettings(), seed).holdout for seed in range(20)}) == 20


def test_over_seeds_every_task_is_sealed_about_as_often() -> None:
    tasks = many(20)
    sealed = [id_ for seed in range(400) for id_ in split(tasks, SplitSettings(holdout=0.3), seed).holdout]
    counts = [sealed.count(t.id) for t in tasks]
    # 120 expected with a standard deviation of 9; six of them is past chance for any of twenty.
    assert all(66 <= count <= 174 for count in counts), counts


def test_every_category_and_difficulty_gives_its_share() -> None:
    kinds = {("code", "easy"): 10, ("code", "hard"): 10, ("data", "easy"): 20, ("logs", "hard"): 10}
    tasks = [
        task(f"{category}{difficulty}{'abcdefghijklmnopqrst'[n]}", category=category, difficulty=difficulty)
        for (category, difficulty), count in kinds.items()
        for n in range(count)
    ]
    for seed in range(20):
        holdout = set(split(tasks, SplitSettings(holdout=0.3), seed).holdout)
        for (category, difficulty), count in kinds.items():
            mine = {t.id for t in tasks if (t.category, t.difficulty) == (category, difficulty)}
            assert abs(len(mine & holdout) - 0.3 * count) <= 1


def test_nothing_is_sealed_without_a_share_or_with_few_tasks() -> None:
    tasks = many(10)
    assert split(tasks, SplitSettings(holdout=0), 1).holdout == ()
    assert split(tasks[:3], SplitSettings(holdout=0.5), 1) == Split(tuple(t.id for t in tasks[:3]), ())


STORY = (
    "Read the sales of {month} from the file that the shop left in the work folder, add up the amounts by customer, drop those "
    "below {least} and write the {best} best customers, richest first, as a table with two columns."
)


def test_near_equal_tasks_stay_on_one_side() -> None:
    twins = [
        task(f"sales-{month}", instruction=STORY.format(month=month, least=least, best=best))
        for month, least, best in (("March", 10, 5), ("April", 200, 7), ("May", 35, 9))
    ]
    tasks = [*many(12), *twins]
    ids = {t.id for t in twins}
    sides = set()
    for seed in range(40):
        holdout = set(split(tasks, SplitSettings(holdout=0.3), seed).holdout)
        assert ids <= holdout or not ids & holdout
        sides.add(ids <= holdout)
    assert sides == {True, False}


def test_what_all_tasks_share_makes_no_two_alike() -> None:
    boilerplate = (
        "You are in the folder app and must complete the function below so that all of its examples hold. " * 3
    )
    tasks = {t.id: boilerplate + t.instruction for t in many(20)}
    assert len(near_equal(tasks)) == 20
    tasks["copy"] = tasks["taa"] + " please"
    assert ("copy", "taa") in near_equal(tasks)


def test_a_suite_of_one_text_is_still_split() -> None:
    tasks = [task(id_, instruction="Do the thing that is written in the file.") for id_ in "abcdef"]
    result = split(tasks, SplitSettings(holdout=0.3), 1)
    assert result.train
    assert result.holdout


def test_tasks_of_one_source_stay_on_one_side() -> None:
    tasks = [replace(each, source_id=f"book-{number // 3}") for number, each in enumerate(many(30))]
    by_source: dict[str, set[str]] = {}
    for each in tasks:
        by_source.setdefault(each.source_id, set()).add(each.id)
    for seed in range(20):
        sealed = set(split(tasks, SplitSettings(holdout=0.3), seed).holdout)
        assert len(sealed) == 9
        assert all(ids <= sealed or not ids & sealed for ids in by_source.values())
    # A source joins what likeness alone would not, and the other way round.
    texts = {"a": "one two three four", "b": "one two three four", "c": "five six seven eight", "d": "nine ten more"}
    assert near_equal(texts, {"b": "s", "c": "s"}) == [("a", "b", "c"), ("d",)]


def test_a_file_of_ids_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "sealed.txt").write_text("# ours\ntab\n\n  taa  # the first\r\ntab\n")
    settings = SplitSettings(holdout_file="sealed.txt")
    assert split(many(4), settings, 1, base=tmp_path) == Split(("tac", "tad"), ("taa", "tab"))


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    def problem(data: bytes | None) -> str:
        path = tmp_path / "sealed.txt"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            split(many(4), SplitSettings(holdout_file=str(path)), 1)
        assert str(caught.value).startswith(f"split.holdout_file: {path}: ")
        return str(caught.value)

    assert problem(b"taa\nnope\n").endswith("no such task: nope")
    assert problem(b"a b c d e f g".replace(b" ", b"\n")).endswith("no such task: a, b, c, d, e and 2 more")
    assert "seals every task" in problem(b"taa\ntab\ntac\ntad")
    assert "No such file" in problem(None)
    assert "not UTF-8" in problem(b"\xff")


def test_files_name_every_side_and_what_none_names_takes_no_part(tmp_path: Path) -> None:
    for side, ids in {"train": "taa tab", "holdout": "tac", "test": "tad tae"}.items():
        (tmp_path / side).write_text(ids.replace(" ", "\n"))

    def sides(**files: str) -> Split:
        return split(many(8), SplitSettings.model_validate(files), 1, base=tmp_path)

    whole = sides(train_file="train", holdout_file="holdout", test_file="test")
    assert whole == Split(("taa", "tab"), ("tac",), ("tad", "tae"))
    rest = ("tac", "tad", "tae", "taf", "tag", "tah")
    assert sides(train_file="train") == Split(("taa", "tab"), rest)
    assert sides(train_file="train", test_file="test") == Split(
        ("taa", "tab"), ("tac", "taf", "tag", "tah"), ("tad", "tae")
    )
    assert sides(holdout_file="holdout", test_file="test").train == ("taa", "tab", "taf", "tag", "tah")
    drawn = sides(test_file="test")
    assert drawn.test == ("tad", "tae")
    assert 1 <= len(drawn.holdout) <= 3
    assert sorted((*drawn.train, *drawn.holdout)) == ["taa", "tab", "tac", "taf", "tag", "tah"]


def test_files_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    for name, ids in {"some": "taa\ntab", "more": "tab\ntac", "none": "# nothing", "rest": "tac\ntad"}.items():
        (tmp_path / name).write_text(ids)

    def problem(**files: str) -> str:
        with pytest.raises(ConfigError) as caught:
            split(many(4), SplitSettings.model_validate(files), 1, base=tmp_path)
        return str(caught.value)

    assert (
        problem(train_file="some", test_file="more")
        == f"split.test_file: {tmp_path}/more: is on the train side too: tab"
    )
    assert problem(train_file="none") == f"split.train_file: {tmp_path}/none: names no task"
    assert "split.holdout_file" in problem(holdout_file="some", test_file="rest")
    assert "seals every task" in problem(holdout_file="some", test_file="rest")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"holdout": 0.5, "test": 0.5}, "split: holdout and test together are 1: nothing is left to train on"),
        ({"test": 0.2, "test_file": "a"}, "split: test is a share, and test_file names tasks"),
        ({"test": 0.2, "train_file": "a"}, "split: test is a share, and train_file names tasks"),
    ],
)
def test_shares_that_leave_nothing_are_told(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse({"split": settings})


@pytest.mark.parametrize("seed", range(6))
def test_a_test_side_takes_its_share_of_every_stratum_and_splits_no_group(seed: int) -> None:
    abc = "abcdefghijklmnopqrstuvwxyz"
    tasks = [
        task(f"{kind}-{number}-{twin}", instruction=" ".join(f"{kind}{abc[number]}{at}q" for at in abc), category=kind)
        for kind in ("data", "code")
        for number in range(20)
        for twin in "xy"
    ]
    found = split(tasks, SplitSettings(holdout=0.3, test=0.2), seed)
    sides = {"train": found.train, "holdout": found.holdout, "test": found.test}
    assert sorted(id_ for ids in sides.values() for id_ in ids) == sorted(each.id for each in tasks)
    for kind in ("data", "code"):
        counts = {side: sum(id_.startswith(kind) for id_ in ids) for side, ids in sides.items()}
        assert abs(counts["test"] - 8) <= 2
        assert abs(counts["holdout"] - 12) <= 3
    for ids in sides.values():
        assert {id_[:-1] + "x" for id_ in ids} <= set(ids)
        assert {id_[:-1] + "y" for id_ in ids} <= set(ids)


def test_a_test_side_is_never_the_holdout_of_the_same_seed() -> None:
    plain = split(many(40), SplitSettings(holdout=0.3), 5)
    three = split(many(40), SplitSettings(holdout=0.3, test=0.3), 5)
    assert plain == split(many(40), SplitSettings(holdout=0.3, test=0.0), 5)
    assert (len(three.holdout), len(three.test)) == (12, 12)
    assert set(three.test) != set(plain.holdout)


def test_select_takes_patterns_leaves_others_and_samples_by_seed() -> None:
    tasks = [task(id_) for id_ in ("data-b", "data-a", "code-a", "code-b", "logs-a")]

    def ids(seed: int = 0, **settings: object) -> list[str]:
        return [t.id for t in select(tasks, BenchmarkSettings.model_validate(settings), seed)]

    assert ids() == ["code-a", "code-b", "data-a", "data-b", "logs-a"]
    assert ids(tasks=("data-*", "logs-a")) == ["data-a", "data-b", "logs-a"]
    assert ids(tasks=("*-a",), exclude=("code-*",)) == ["data-a", "logs-a"]
    assert ids(limit=50) == ids()
    samples = {tuple(ids(seed, limit=2)) for seed in range(40)}
    assert len(samples) > 5
    assert all(len(sample) == 2 and list(sample) == sorted(sample) for sample in samples)
    tasks.reverse()
    assert {tuple(ids(seed, limit=2)) for seed in range(40)} == samples


def test_select_says_when_nothing_is_left() -> None:
    with pytest.raises(ConfigError, match="no task matches 'x-\\*'"):
        select(many(3), BenchmarkSettings(tasks=("x-*",)), 0)
    with pytest.raises(ConfigError, match=r"benchmark\.exclude: \*: leaves out all 3 tasks"):
        select(many(3), BenchmarkSettings(exclude=("*",)), 0)


def sides_of(found: Split) -> dict[str, str]:
    named = {"train": found.train, "holdout": found.holdout, "test": found.test}
    return {id_: side for side, ids in named.items() for id_ in ids}


@given(st.integers(4, 70), st.integers(0, 70), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_what_an_earlier_study_read_or_sealed_stays_on_its_side(
    before: int, more: int, seed: int, luck: random.Random
) -> None:
    earlier = sides_of(split(many(before), SplitSettings(), seed))
    tasks = many(before + more)
    gone = luck.sample([t.id for t in tasks[:before] if earlier[t.id] != "train"], k=min(1, before // 20))
    tasks = [t for t in tasks if t.id not in gone]
    found = sides_of(grown(tasks, SplitSettings(), seed + 1, earlier))
    assert found.keys() == {t.id for t in tasks}
    assert all(found[id_] == side for id_, side in earlier.items() if id_ in found)
    if more >= 4:
        assert {side for id_, side in found.items() if id_ not in earlier} >= {"train", "holdout"}


def test_a_new_task_that_is_near_equal_to_a_known_one_goes_to_its_side() -> None:
    words = "sum the numbers of every row in the second sheet of the book and write the result below"
    known = [*many(6), task("x1", instruction=words)]
    twin = task("x2", instruction=f"{words} it")
    for side in ("train", "holdout", "test"):
        kept = {**dict.fromkeys((t.id for t in known), "train"), "x1": side}
        assert sides_of(grown([*known, twin], SplitSettings(), 1, kept))["x2"] == side


def test_a_file_that_seals_what_was_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_text("taa\n")
    settings = SplitSettings(holdout_file="sealed")
    kept = {"taa": "train", "tab": "train", "tac": "holdout"}
    with pytest.raises(ConfigError, match="taa, tac: on another side than in the study that this one continues"):
        grown(many(5), settings, 1, kept, base=tmp_path)
    assert grown(many(5), settings, 1, {"taa": "holdout"}, base=tmp_path).holdout == ("taa",)


def test_a_study_goes_on_with_something_to_train_on() -> None:
    with pytest.raises(ConfigError, match="no task that the earlier study trained on is left"):
        grown(many(3), SplitSettings(), 1, dict.fromkeys((t.id for t in many(3)), "holdout"))
