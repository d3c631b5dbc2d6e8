"""SpreadsheetBench from a hub: archives that are fetched and unpacked once, and what is said of those that cannot be used."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import openpyxl
import pytest

from lorimer.benchmarks.base import Suite
from lorimer.benchmarks.registry import open_benchmark
from lorimer.benchmarks.spreadsheet_bench import hub as spreadsheet_hub
from lorimer.config.settings import parse
from lorimer.errors import ConfigError, LorimerError, PrerequisiteError
from tests.support.hub import Hub, pointed_at, served

NAME = "someone/Sheets"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with served(tmp_path / "cache") as hub:
        yield hub


def load(root: Path, source: str, *only: str, revision: str | None = None) -> Suite:
    settings = parse({"benchmark": {"hf": {"revision": revision} if revision else {}}}).benchmark
    return open_benchmark(source, root, settings).load(only)


def problem(root: Path, source: str, kind: type[LorimerError] = ConfigError, revision: str | None = None) -> str:
    with pytest.raises(kind) as caught:
        load(root, source, revision=revision)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def packed(files: Mapping[str, bytes], *members: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    """A tar of files, and of members without content."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return archive.getvalue()


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files(*names: str, top: str = "all/") -> dict[str, bytes]:
    """A set of items, in a folder of its own as published."""
    book = io.BytesIO()
    openpyxl.Workbook().save(book)
    common = {"instruction": "Add.", "instruction_type": "Cell", "answer_position": "A1"}
    items = [{"id": name, "spreadsheet_path": f"spreadsheet/{name}", **common} for name in names]
    workbooks = {
        f"{top}spreadsheet/{name}/1_{name}_{role}.xlsx": book.getvalue()
        for name in names
        for role in ("init", "golden")
    }
    return {f"{top}dataset.json": json.dumps(items).encode(), **workbooks}


ONE = packed(files("1", "2"))


def ids(suite: Suite) -> list[str]:
    assert not suite.problems
    return [task.id for task in suite.tasks]


@pytest.mark.parametrize("kind", ["spreadsheetbench", "spreadsheetbench-soft"])
def test_a_set_is_fetched_and_unpacked_once(tmp_path: Path, hub: Hub, kind: str) -> None:
    hub.sets[NAME] = {"README.md": b"x", "all.tar.gz": ONE}
    first = load(tmp_path, f"{kind}:{NAME}")
    assert (ids(first), first.name) == (["1", "2"], "all")
    assert load(tmp_path, f"{kind}:{NAME}") == first
    assert hub.downloads() == 1
    assert [path for path in tmp_path.iterdir() if path.name != "cache"] == []
    assert f"--restriction {'soft' if kind.endswith('soft') else 'hard'}" in first.tasks[0].verifier.command


@pytest.mark.parametrize("top", ["", "a/", "a/b/c/"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_the_set_may_lie_some_folders_deep_in_any_tar(tmp_path: Path, hub: Hub, top: str, mode: str) -> None:
    suffix = {"w": ".tar", "w:gz": ".tgz", "w:xz": ".tar.xz"}[mode]
    # As a Mac packs it: a second file beside each, which is no workbook.
    stray = {f"{top}spreadsheet/1/._1_1_init.xlsx": b"mac", f"{top}._dataset.json": b"mac"}
    hub.sets[NAME] = {f"data/all{suffix}": packed({**files("1", top=top), **stray}, mode=mode)}
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}")) == ["1"]


def test_one_of_several_archives_is_chosen_by_its_name(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"a.tar.gz": ONE, "more/b.tar.gz": packed(files("3"))}
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}/a.tar.gz")) == ["1", "2"]
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}/more/b.tar.gz")) == ["3"]
    assert problem(tmp_path, f"spreadsheetbench:{NAME}") == (
        f"spreadsheetbench:{NAME}: has several archives; write spreadsheetbench:{NAME}/a.tar.gz"
        f" or spreadsheetbench:{NAME}/more/b.tar.gz"
    )
    assert problem(tmp_path, f"spreadsheetbench:{NAME}/c.tar.gz") == (
        f"spreadsheetbench:{NAME}/c.tar.gz: {NAME} has no c.tar.gz; its archives are a.tar.gz, more/b.tar.gz"
    )


def test_a_set_that_changed_is_fetched_again_and_a_revision_holds_it_still(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"all.tar.gz": ONE}
    commit = hub.commit(NAME)
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}", revision=commit)) == ["1", "2"]
    hub.sets[NAME] = {"all.tar.gz": packed(files("3"))}
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}")) == ["3"]
    assert problem(tmp_path, f"spreadsheetbench:{NAME}", revision="no-such") == (
        f"benchmark.hf.revision: {NAME} has no revision 'no-such'"
    )


@pytest.mark.parametrize("rest", ["", "/all.tar.gz"])
@pytest.mark.parametrize("pinned", [False, True])
def test_what_was_fetched_serves_without_a_network(tmp_path: Path, hub: Hub, rest: str, pinned: bool) -> None:
    hub.sets[NAME] = {"all.tar.gz": ONE}
    revision = hub.commit(NAME) if pinned else None
    before = load(tmp_path, f"spreadsheetbench:{NAME}", revision=revision)
    with pointed_at("http://127.0.0.1:9", tmp_path / "cache"):
        assert load(tmp_path, f"spreadsheetbench:{NAME}{rest}", revision=revision) == before
        other = "spreadsheetbench:someone/else"
        assert "no copy is on this machine" in problem(tmp_path, other, PrerequisiteError)


@pytest.mark.parametrize("rest", ["", "/all.tar.gz"])
def test_without_a_network_and_a_copy_it_says_so(tmp_path: Path, rest: str) -> None:
    with pointed_at("http://127.0.0.1:9", tmp_path / "cache"):
        said = problem(tmp_path, f"spreadsheetbench:{NAME}{rest}", PrerequisiteError)
    assert said == (
        f"spreadsheetbench:{NAME}{rest}: the Hugging Face hub cannot be reached and no copy is on this machine; "
        "connect this machine, or fetch the files elsewhere and write spreadsheetbench:DIR"
    )


@pytest.mark.parametrize("kind", ["spreadsheetbench", "spreadsheetbench-soft", "hf"])
def test_what_the_hub_does_not_give_is_one_line(tmp_path: Path, hub: Hub, kind: str) -> None:
    assert problem(tmp_path, f"{kind}:{NAME}") == (
        f"{kind}:{NAME}: the Hugging Face hub has no such data set, or not for you; there is no {tmp_path / NAME} either"
    )
    hub.sets[NAME] = {}
    assert problem(tmp_path, f"{kind}:{NAME}", revision="v9") == f"benchmark.hf.revision: {NAME} has no revision 'v9'"
    hub.gated.add(NAME)
    assert problem(tmp_path, f"{kind}:{NAME}", PrerequisiteError) == (
        f"{kind}:{NAME}: is given to those alone who have accepted its terms; "
        f"accept them on the page of {NAME}, and run `hf auth login` or export HF_TOKEN"
    )


def test_a_set_without_an_archive_and_one_that_cannot_be_had_are_one_line(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"README.md": b"x"}
    assert problem(tmp_path, f"spreadsheetbench:{NAME}").startswith(
        f"spreadsheetbench:{NAME}: has no archive (.tar.gz,"
    )
    assert problem(tmp_path, f"spreadsheetbench:{NAME}/a.tar").endswith("has no a.tar; it has no archive at all")
    hub.sets[NAME] = {"all.tar.gz": ONE}
    hub.broken.add("all.tar.gz")
    said = problem(tmp_path, f"spreadsheetbench:{NAME}", PrerequisiteError)
    assert said.startswith(f"spreadsheetbench:{NAME}: all.tar.gz could not be fetched: ")
    assert said.endswith("; try again, or fetch it elsewhere, unpack it and write spreadsheetbench:DIR")


BAD = {
    "an escape": (packed({"../up.txt": b"x"}), "holds '../up.txt', a path that leaves its folder"),
    "an absolute path": (packed({"/tmp/up.txt": b"x"}), "holds '/tmp/up.txt', a path that leaves its folder"),
    "a symlink": (packed({}, link("a", tarfile.SYMTYPE, "/etc")), "holds 'a', which is neither a file nor a folder"),
    "a hard link": (packed({}, link("a", tarfile.LNKTYPE, "/etc/passwd")), "holds 'a', which is neither a file nor a"),
    "a device": (packed({}, link("a", tarfile.CHRTYPE, "")), "holds 'a', which is neither a file nor a folder"),
    "a file that is a folder too": (packed({"a": b"x", "a/b": b"x"}), "cannot be unpacked: "),
    "no archive": (b"<html>", "cannot be unpacked: "),
    "half an archive": (ONE[: len(ONE) // 2], "cannot be unpacked: "),
    "bits that are wrong": (gzip.compress(b"x" * 2000)[:-8] + b"12345678", "cannot be unpacked: "),
}


@pytest.mark.parametrize("name", BAD)
def test_an_archive_that_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path: Path, hub: Hub, name: str) -> None:
    data, words = BAD[name]
    hub.sets[NAME] = {"all.tar.gz": data}
    for _ in range(2):
        assert problem(tmp_path, f"spreadsheetbench:{NAME}").startswith(f"spreadsheetbench:{NAME}: all.tar.gz {words}")
    assert [path.name for path in (tmp_path / "cache/assets").rglob("*") if path.is_file()] in (
        [],
        [".all.tar.gz.lock"],
    )
    assert not (tmp_path / "cache/assets/lorimer/up.txt").exists()


def huge(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def test_an_archive_past_all_bounds_is_refused_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    header = huge("big", spreadsheet_hub.MAX_BYTES + 1).tobuf()
    (tmp_path / "big.tar").write_bytes(header)
    with pytest.raises(ConfigError, match="holds over 200,000 files or 8,589,934,592 bytes"):
        spreadsheet_hub.extract(tmp_path / "big.tar", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_set_is_looked_for_three_folders_deep_and_must_be_the_only_one_there(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"all.tar.gz": packed(files("1", top="a/b/c/d/"))}
    assert problem(tmp_path, f"spreadsheetbench:{NAME}") == (
        f"spreadsheetbench:{NAME}: its archive all.tar.gz holds no dataset.json at most 3 folders deep"
    )
    hub.sets[NAME] = {"all.tar.gz": packed({**files("1", top="x/a/"), **files("2", top="x/b/")})}
    assert problem(tmp_path, f"spreadsheetbench:{NAME}") == (
        f"spreadsheetbench:{NAME}: has a dataset.json in x/a and x/b; unpack it and write spreadsheetbench:DIR"
    )


def test_a_process_that_died_while_unpacking_harms_none(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"all.tar.gz": ONE}
    half = tmp_path / "cache/assets/lorimer" / NAME.replace("/", "--") / hub.commit(NAME) / ".all.tar.gz.part"
    half.mkdir(parents=True)
    (half / "dataset.json").write_text("[")
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}")) == ["1", "2"]
    assert not half.exists()


def test_a_folder_of_that_name_comes_first(tmp_path: Path, hub: Hub) -> None:
    hub.sets[NAME] = {"all.tar.gz": ONE}
    for name, data in files("here", top=f"{NAME}/").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert ids(load(tmp_path, f"spreadsheetbench:{NAME}")) == ["here"]
    assert hub.asked == []
