"""Promotions as commits, and what lorimer leaves alone."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lorimer.errors import PrerequisiteError, UserError
from lorimer.meta_agent.workspace.repository import Promotion, Workspace

SEED = "def solve(task, env, llm):\n    return 'seed'\n"
BETTER = "def solve(task, env, llm):\n    return 'better'\n"


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))  # no identity configured
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "none"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(home / "none"))
    folder = tmp_path / "work"
    (folder / "harness").mkdir(parents=True)
    (folder / "harness" / "agent.py").write_text(SEED)
    (folder / "program.md").write_text("Be careful.\n")
    (folder / "notes.txt").write_text("mine\n")
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "start")
    return folder


def obey(command: str) -> None:
    """Type what a message says, from a folder that has nothing to do with it."""
    done = subprocess.run(["sh", "-c", command], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def told_to(root: Path, **settings: str) -> str:
    """What `check` says to run."""
    with pytest.raises((UserError, PrerequisiteError)) as caught:
        Workspace(root, **settings).check()
    return str(caught.value).partition("run: ")[2]


def promotion(number: int = 7, study: str = "demo") -> Promotion:
    return Promotion(
        study=study,
        candidate=f"{study}/c{number:03}",
        harness=f"{number:064x}",
        title="Check the output before finishing",
        hypothesis="The agent stops before its file is there.",
        decision="passed: 31/40 against 20/40, p = 0.004, needs p <= 0.10",
        score="0.775",
        interval="[0.620, 0.880]",
    )


@pytest.mark.parametrize("aside", [False, True], ids=["here", "aside"])
@pytest.mark.parametrize(
    ("variables", "settings", "by"),
    [
        ({"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@x"}, {}, "Ada <ada@x>, lorimer <lorimer@localhost>"),
        ({}, {"user.email": "ada@x"}, "lorimer <ada@x>, lorimer <ada@x>"),
        ({}, {"user.email": "ada@x", "user.name": "Ada"}, "Ada <ada@x>, Ada <ada@x>"),
        ({}, {"user.name": "Ada"}, "lorimer <lorimer@localhost>, lorimer <lorimer@localhost>"),
    ],
    ids=["author-alone", "email-alone", "both", "name-alone"],
)
def test_whoever_git_knows_by_half_has_their_promotions_committed(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    settings: dict[str, str],
    by: str,
    aside: bool,
) -> None:
    # What git guesses of the machine is another's on another one.
    for key, value in {"user.useConfigOnly": "true", **settings}.items():
        git(root, "config", key, value)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    workspace = Workspace(root)
    workspace.check()
    if aside:
        (root / "harness" / "agent.py").write_text("mine\n")
    done = workspace.promote(promotion(), BETTER, SEED)
    assert bool(done.branch) is aside
    assert git(root, "log", "-1", "--format=%an <%ae>, %cn <%ce>", done.commit) == by


def test_a_promotion_is_one_commit_of_the_harness_alone(root: Path) -> None:
    (root / "notes.txt").write_text("changed, and staged\n")
    git(root, "add", "notes.txt")
    workspace = Workspace(root)
    workspace.check()
    done = workspace.promote(promotion(), BETTER, SEED)
    assert done.branch == ""
    assert done.commit == git(root, "rev-parse", "HEAD")
    assert git(root, "show", "--format=", "--name-only", "HEAD") == "harness/agent.py"
    assert workspace.read_harness() == BETTER
    assert git(root, "status", "--porcelain") == "M  notes.txt"
    message = git(root, "log", "-1", "--format=%B")
    assert message.startswith("Check the output before finishing\n\nThe agent stops before")
    assert git(root, "log", "-1", "--format=%(trailers)").splitlines() == [
        "Lorimer-Study: demo",
        "Lorimer-Candidate: demo/c007",
        "Lorimer-Score: 0.775",
        "Lorimer-Interval: [0.620, 0.880]",
        f"Lorimer-Harness: {7:064x}",
    ]


def test_a_promotion_repeated_after_a_crash_is_not_made_twice(root: Path) -> None:
    workspace = Workspace(root)
    first = workspace.promote(promotion(), BETTER, SEED)
    assert workspace.promote(promotion(), BETTER, SEED) == first
    assert git(root, "rev-list", "--count", "HEAD") == "2"


def test_a_crash_between_writing_and_committing_is_picked_up(root: Path) -> None:
    (root / "harness" / "agent.py").write_text(BETTER)
    done = Workspace(root).promote(promotion(), BETTER, SEED)
    assert done.branch == ""
    assert git(root, "show", "HEAD:harness/agent.py") == BETTER.strip()


def test_a_write_that_fails_leaves_nothing_beside_the_harness(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"agent\.py: cannot be written: No space left on device"):
        Workspace(root).promote(promotion(), BETTER, SEED)
    assert [path.name for path in (root / "harness").iterdir()] == ["agent.py"]
    assert Workspace(root).read_harness() == SEED


@pytest.mark.parametrize("committed", [False, True])
def test_a_harness_edited_during_the_study_is_left_alone(root: Path, committed: bool) -> None:
    mine = SEED + "# my own work\n"
    (root / "harness" / "agent.py").write_text(mine)
    if committed:
        git(root, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "mine")
    head = git(root, "rev-parse", "HEAD")
    workspace = Workspace(root)
    done = workspace.promote(promotion(), BETTER, SEED)
    assert done.branch == "lorimer/demo"
    assert "left as it is" in done.note
    assert workspace.read_harness() == mine
    assert git(root, "rev-parse", "HEAD") == head
    assert git(root, "show", "lorimer/demo:harness/agent.py") == BETTER.strip()
    assert workspace.promote(promotion(), BETTER, SEED) == done
    second = workspace.promote(promotion(8), BETTER + "# 8\n", BETTER)
    assert git(root, "rev-parse", "lorimer/demo^") == done.commit
    assert git(root, "rev-parse", "lorimer/demo") == second.commit
    # The commands that the note names work, though the same lines were changed on both sides and nothing may be committed.
    compare, _, take = second.note.partition("(compare: ")[2].rstrip(")").partition("; take it in place of your file: ")
    obey(compare)
    obey(take)
    assert workspace.read_harness() == BETTER + "# 8\n"


def test_a_merge_in_progress_sends_the_promotion_to_the_branch(root: Path) -> None:
    head = git(root, "rev-parse", "HEAD")
    (root / ".git" / "MERGE_HEAD").write_text(head + "\n")
    workspace = Workspace(root)
    done = workspace.promote(promotion(), BETTER, SEED)
    assert done.branch == "lorimer/demo"
    assert done.note.startswith("git takes no commit on the current branch, as in the middle of a merge; ")
    assert workspace.promote(promotion(), BETTER, SEED) == done
    assert workspace.read_harness() == SEED
    obey(done.note.rpartition(": ")[2].rstrip(")"))
    assert workspace.read_harness() == BETTER


def test_hooks_of_the_user_do_not_run(root: Path) -> None:
    for name in ("pre-commit", "post-commit", "prepare-commit-msg"):
        hook = root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
        hook.chmod(0o755)
    Workspace(root).promote(promotion(), BETTER, SEED)
    assert not (root / "ran").exists()


def test_a_workspace_in_a_folder_of_a_repository_works_both_ways(root: Path) -> None:
    inner = root / "inner"
    (inner / "harness").mkdir(parents=True)
    (inner / "harness" / "agent.py").write_text(SEED)
    git(root, "add", ".")
    git(root, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "inner")
    workspace = Workspace(inner)
    workspace.promote(promotion(), BETTER, SEED)
    assert git(root, "show", "HEAD:inner/harness/agent.py") == BETTER.strip()
    workspace.promote(promotion(8), SEED + "# 8\n", SEED)
    assert git(root, "show", "lorimer/demo:inner/harness/agent.py") == (SEED + "# 8\n").strip()
    assert git(root, "show", "lorimer/demo:harness/agent.py") == SEED.strip()


def test_awkward_study_names_make_valid_branches(root: Path) -> None:
    (root / "harness" / "agent.py").write_text("# mine\n")
    assert Workspace(root).promote(promotion(study="a..b.lock"), BETTER, SEED).branch == "lorimer/a-b"


def test_a_long_title_is_cut_and_an_empty_one_replaced() -> None:
    long = Promotion("s", "s/c001", "0", "word " * 40, "", "", "1", "[1, 1]").message().splitlines()[0]
    assert len(long) <= 72
    assert long.endswith("…")
    assert Promotion("s", "s/c001", "0", " \n", "", "", "1", "[1, 1]").message().startswith("Promote s/c001\n\n")


def test_a_commit_message_holds_nothing_that_a_terminal_obeys() -> None:
    said = Promotion("s", "s/c001", "0", "\x1b[2Jnice \u202e", "why\x1b]0;own\x07\nso", "", "1", "[1, 1]").message()
    assert said.startswith(r"\x1b[2Jnice \u202e" + "\n\n" + r"why\x1b]0;own\x07" + "\nso\n\nLorimer-Study: s\n")


def test_uncommitted_changes_stop_a_study_before_it_starts(root: Path) -> None:
    (root / "harness" / "agent.py").write_text("# changed\n")
    with pytest.raises(UserError, match=r"uncommitted changes.*git -C .* commit") as caught:
        Workspace(root).check()
    assert caught.value.exit_code == 2
    (root / "notes.txt").write_text("staged\n")
    git(root, "add", "notes.txt")
    obey(told_to(root))
    Workspace(root).check()
    assert git(root, "status", "--porcelain") == "M  notes.txt"  # what else is staged is not committed along


def test_an_untracked_or_ignored_harness_stops_a_study_before_it_starts(root: Path) -> None:
    (root / "an other.py").write_text(SEED)
    for _ in range(2):
        with pytest.raises(UserError, match=r"an other\.py: it has uncommitted changes"):
            Workspace(root, "an other.py").check()
        (root / ".gitignore").write_text("*.py\n")
    obey(told_to(root, harness="an other.py"))
    Workspace(root, "an other.py").check()


def test_a_harness_that_is_not_there_is_got_back_from_git(root: Path) -> None:
    (root / "harness" / "agent.py").unlink()
    for staged in (False, True):
        with pytest.raises(UserError, match=r"no such file .*; get back the committed one with: ") as caught:
            Workspace(root).check()
        obey(str(caught.value).partition(" with: ")[2])
        assert Workspace(root).read_harness() == SEED
        Workspace(root).check()
        if not staged:
            git(root, "rm", "--quiet", "harness/agent.py")


def test_a_harness_that_never_was_is_made_from_the_one_that_ships(root: Path) -> None:
    workspace = Workspace(root, "my agents/agent.py")
    with pytest.raises(UserError, match=r"no such file .*; start from the one that ships with lorimer: ") as caught:
        workspace.read_harness()
    obey(str(caught.value).partition("with lorimer: ")[2])
    assert "def solve(" in workspace.read_harness()
    obey(told_to(root, harness="my agents/agent.py"))
    workspace.check()


def test_a_merge_of_the_harness_is_finished_first(root: Path) -> None:
    agent = root / "harness" / "agent.py"
    me = ("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam")
    git(root, "checkout", "-q", "-b", "theirs")
    agent.write_text("# theirs\n")
    git(root, *me, "theirs")
    git(root, "checkout", "-q", "main")
    agent.write_text("# ours\n")
    git(root, *me, "ours")
    conflict = subprocess.run(["git", *me[:4], "merge", "theirs"], cwd=root, capture_output=True, check=False)
    assert conflict.returncode != 0
    with pytest.raises(UserError, match="a merge of it is not finished; resolve what conflicts there, then run: "):
        Workspace(root).check()
    agent.write_text(SEED)
    obey(told_to(root))
    Workspace(root).check()


def test_a_folder_without_a_repository_is_told_how_to_make_one(tmp_path: Path, root: Path) -> None:
    bare = tmp_path / "a folder"
    (bare / "harness").mkdir(parents=True)
    (bare / "harness" / "agent.py").write_text(SEED)
    (bare / ".env").write_text("OPENAI_API_KEY=secret\n")
    with pytest.raises(PrerequisiteError, match="not in a git repository"):
        Workspace(bare).check()
    obey(told_to(bare))
    Workspace(bare).check()
    assert git(bare, "ls-files") == "harness/agent.py"  # not the keys


def test_a_repository_of_another_user_is_told_apart_from_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(root.parent / "home" / "config"))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(PrerequisiteError, match="belongs to another user, so git does not read the repository there"):
        Workspace(root).check()
    obey(told_to(root))
    Workspace(root).check()


def test_a_machine_without_git_is_told_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(PrerequisiteError, match="git is not installed; install it"):
        Workspace(root).check()


def test_missing_and_unreadable_files_are_named(root: Path) -> None:
    assert Workspace(root).read_program() == "Be careful.\n"
    with pytest.raises(UserError, match=r"no\.md: no such file \(the setting study\.program\)"):
        Workspace(root, program="no.md").read_program()
    (root / "harness" / "agent.py").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"agent\.py: is not UTF-8 \(byte 0\); save it as UTF-8"):
        Workspace(root).read_harness()
    with pytest.raises(UserError, match="no such folder"):
        Workspace(root / "nowhere").check()


def test_a_byte_order_mark_is_taken_off_the_program_and_named_in_the_harness(root: Path) -> None:
    (root / "program.md").write_text("\ufeffBe careful.\n")
    assert Workspace(root).read_program() == "Be careful.\n"
    (root / "harness" / "agent.py").write_text("\ufeff" + SEED)
    with pytest.raises(UserError, match=r"it starts with a byte-order mark.*; take it away with: sed -i ") as caught:
        Workspace(root).read_harness()
    obey(str(caught.value).partition(" with: ")[2])
    assert Workspace(root).read_harness() == SEED


def test_git_is_asked_as_often_however_many_promotions_are_looked_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, texts, commits = Workspace(root), [SEED], []
    for number in range(1, 5):
        texts.append(f"{SEED}# {number}\n")
        commits.append(workspace.promote(promotion(number), texts[-1], texts[-2]).commit)
    real, calls, folder = shutil.which("git"), tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def asked(*wanted: str) -> int:
        calls.unlink(missing_ok=True)
        found = workspace.promoted(wanted)
        assert [found[each].trailers["Lorimer-Candidate"] for each in wanted if each in commits] == [
            f"demo/c{commits.index(each) + 1:03}" for each in wanted if each in commits
        ]
        assert found.keys() == set(wanted) & set(commits)
        return len(calls.read_text().splitlines())

    tree, blob = git(root, "rev-parse", "HEAD^{tree}"), git(root, "rev-parse", "HEAD:harness/agent.py")
    assert asked(commits[0]) == asked(*commits) == asked("0" * 40, *commits, tree, blob) == 3
    assert workspace.promoted([]) == {}
    assert workspace.promoted(["0" * 40]) == {}


# ---- line ends, and branches in the way ---------------------------------------------------------------------------------


@pytest.fixture(params=["eol=crlf", "core.autocrlf", "both"])
def checked_out_with_crlf(root: Path, request: pytest.FixtureRequest) -> Path:
    """The workspace as git gives it to whoever asks for CRLF; its commits hold LF."""
    if request.param != "core.autocrlf":
        (root / ".gitattributes").write_text("*.py text eol=crlf\n")
        git(root, "add", ".")
        git(root, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "line ends")
    if request.param != "eol=crlf":
        git(root, "config", "core.autocrlf", "true")
        git(root, "config", "core.safecrlf", "true")
    (root / "harness" / "agent.py").unlink()
    git(root, "checkout", "--", "harness/agent.py")
    assert (root / "harness" / "agent.py").read_bytes() == crlf(SEED)
    return root


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_a_harness_whose_line_ends_are_gits_doing_is_read_and_promoted_like_any_other(
    checked_out_with_crlf: Path,
) -> None:
    root = checked_out_with_crlf
    workspace = Workspace(root)
    workspace.check()
    assert workspace.read_harness() == SEED
    assert workspace.committed() == hashlib.sha256(SEED.encode()).hexdigest()
    done = workspace.promote(promotion(), BETTER, SEED)
    assert (done.branch, done.note, done.commit) == ("", "", git(root, "rev-parse", "HEAD"))
    assert workspace.promoted([done.commit])[done.commit].sha == hashlib.sha256(BETTER.encode()).hexdigest()
    assert (root / "harness" / "agent.py").read_bytes() == crlf(BETTER)
    assert git(root, "status", "--porcelain") == ""
    assert Workspace(root).promote(promotion(), BETTER, SEED) == done


def test_a_crash_before_the_commit_of_a_file_with_crlf_is_picked_up(checked_out_with_crlf: Path) -> None:
    root = checked_out_with_crlf
    (root / "harness" / "agent.py").write_bytes(crlf(BETTER))
    assert Workspace(root).promote(promotion(), BETTER, SEED).branch == ""
    assert git(root, "status", "--porcelain") == ""


def test_a_file_with_crlf_that_was_edited_is_left_alone(checked_out_with_crlf: Path) -> None:
    root, mine = checked_out_with_crlf, crlf(SEED + "# mine\n")
    (root / "harness" / "agent.py").write_bytes(mine)
    assert Workspace(root).promote(promotion(), BETTER, SEED).branch == "lorimer/demo"
    assert (root / "harness" / "agent.py").read_bytes() == mine


def test_line_ends_that_a_person_changed_are_an_edit(root: Path) -> None:
    (root / "harness" / "agent.py").write_bytes(crlf(SEED))
    assert Workspace(root).read_harness().encode() == crlf(SEED)
    assert Workspace(root).promote(promotion(), BETTER, SEED).branch == "lorimer/demo"
    assert (root / "harness" / "agent.py").read_bytes() == crlf(SEED)


@pytest.mark.parametrize("there", ["lorimer", "lorimer/demo/mine"])
def test_a_branch_in_the_way_of_the_studys_own_gives_that_another_name(root: Path, there: str) -> None:
    git(root, "branch", there)
    (root / "harness" / "agent.py").write_text("# mine\n")
    workspace = Workspace(root)
    done = workspace.promote(promotion(), BETTER, SEED)
    assert done.branch == workspace.side_branch("demo") == "lorimer-demo"
    assert git(root, "rev-parse", "lorimer-demo") == done.commit
    assert workspace.promote(promotion(), BETTER, SEED) == done
    second = workspace.promote(promotion(8), BETTER + "# 8\n", BETTER)
    assert (second.branch, git(root, "rev-parse", "lorimer-demo^")) == ("lorimer-demo", done.commit)
    obey(second.note.rpartition(": ")[2].rstrip(")"))
    assert workspace.read_harness() == BETTER + "# 8\n"


@pytest.mark.parametrize("beside", [False, True], ids=["here", "in a worktree"])
def test_a_branch_of_promotions_that_is_checked_out_is_not_moved_under_its_files(root: Path, beside: bool) -> None:
    """Its index would go on holding the old text, and `git commit -a` would take the promotion back."""
    mine = root / "harness" / "agent.py"
    mine.write_text("# mine\n")
    workspace = Workspace(root)
    first = workspace.promote(promotion(), BETTER, SEED)
    out = root
    if beside:
        out = root.parent / "beside"
        git(root, "worktree", "add", "-q", str(out), "lorimer/demo")
    else:
        git(root, "checkout", "-q", "-f", "lorimer/demo")
        mine.write_text("# mine again\n")
    second = workspace.promote(promotion(8), BETTER + "# 8\n", BETTER)
    assert second.branch == "lorimer/demo+2"
    assert second.branch in second.note
    assert git(out, "rev-parse", "HEAD") == first.commit
    assert git(out, "diff", "--cached", "--name-only") == ""
    assert git(root, "rev-parse", "lorimer/demo+2^") == first.commit
    assert git(root, "show", "lorimer/demo+2:harness/agent.py") == (BETTER + "# 8\n").strip()
    assert mine.read_text().startswith("# mine")
    # What comes later stays together, whatever is checked out then.
    git(out, "checkout", "-q", "-f", "--detach")
    mine.write_text("# mine\n")
    third = workspace.promote(promotion(9), BETTER + "# 9\n", BETTER + "# 8\n")
    assert (third.branch, git(root, "rev-parse", "lorimer/demo+2^")) == ("lorimer/demo+2", second.commit)
