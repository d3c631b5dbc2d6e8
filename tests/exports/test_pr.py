"""`lorimer export --to pr`: a branch and what to say of it, in real repositories."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.errors import PrerequisiteError, UserError
from lorimer.exports.targets.pr import DESCRIPTION, LONGEST
from lorimer.exports.winner import Winner, winner_of
from lorimer.exports.write import Written, write
from tests.meta_agent.test_export import BETTER, SEED, fill

BRANCH = "lorimer/demo-c003"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(root: Path, harness: str = SEED) -> Path:
    (root / "harness").mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    (root / "harness/agent.py").write_text(harness)
    (root / "notes.txt").write_text("mine\n")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "start")
    return root


async def won(tmp_path: Path) -> Winner:
    """A winner of two promotions."""
    found = winner_of(await fill(tmp_path / "traces.db"), "demo")
    first = replace(found.changes[0], candidate="c001", title="Look", text=BETTER.replace("first", "once"))
    return replace(found, changes=(first, *found.changes))


def made(winner: Winner, root: Path, folder: Path, *, force: bool = False) -> Written:
    return write(winner, "pr", folder, root=root, force=force)


async def test_a_winner_is_a_branch_of_one_commit_per_promotion_and_nothing_else_is_touched(tmp_path: Path) -> None:
    root, winner = repository(tmp_path / "work"), await won(tmp_path)
    (root / "harness/agent.py").write_text(BETTER)
    git(root, "commit", "--quiet", "-a", "-m", "Promoted")
    (root / "notes.txt").write_text("mine, changed\n")
    before = git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")
    done = made(winner, root, tmp_path / "out")
    assert (git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")) == before
    seed = git(root, "rev-parse", "HEAD~1")
    assert git(root, "log", "--format=%s", f"{seed}..{BRANCH}").splitlines() == ["Look first", "Look"]
    assert git(root, "show", f"{BRANCH}:harness/agent.py") == BETTER.strip()
    assert "look once" in git(root, "show", f"{BRANCH}~1:harness/agent.py")
    assert git(root, "diff", "--name-only", seed, BRANCH) == "harness/agent.py"
    said = git(root, "log", "-1", "--format=%B", BRANCH)
    assert "It should look." in said
    assert "passed: 4/4 against 1/4, p = 0.07" in said
    assert said.endswith("Exported-From: demo/c003")
    assert "Lorimer-" not in said, "the loop finds its own commits by those"
    assert done.said == (
        f"made the branch {BRANCH}, 2 commits on top of {seed[:12]}; nothing was pushed",
        f"push it: git -C {root} push --set-upstream origin {BRANCH} (this repository has no remote yet: `git remote add origin "
        "URL`)",
        f"then open it: gh pr create --head {BRANCH} --title 'Simulated: A better agent harness: 0.400 to 0.900 on starter' "
        f"--body-file {tmp_path / 'out' / DESCRIPTION}",
    )
    page = (tmp_path / "out" / DESCRIPTION).read_text()
    for words in (
        "> **Simulated.**",
        "| before, the seed harness | 0.400 [0.200, 0.600] | 4 |",
        "| after, on trials that it did not win by | 0.900 [0.200, 0.600] | 4 |",
        "by chance alone",
        "1. **Look** (`c001`)",
        "2. **Look first** (`c003`)\n   It guesses. It should look.",
    ):
        assert words in page
    assert sorted(done.files) == ["EVIDENCE.md", DESCRIPTION, "evidence.json"]

    await asyncio.sleep(1.1)  # git's dates are whole seconds: commits made anew would be others
    git(root, "remote", "add", "upstream", "/nowhere")
    commits = git(root, "rev-list", BRANCH)
    again = made(winner, root, tmp_path / "again")
    assert again.said[0].startswith(f"the branch is there already: {BRANCH}, 2 commits")
    assert again.said[1] == f"push it: git -C {root} push --set-upstream upstream {BRANCH}"
    assert git(root, "rev-list", BRANCH) == commits


async def test_a_branch_that_holds_something_else_is_replaced_by_force_alone(tmp_path: Path) -> None:
    root, winner = repository(tmp_path / "work"), await won(tmp_path)
    git(root, "branch", BRANCH)
    theirs = git(root, "rev-parse", BRANCH)
    with pytest.raises(UserError, match=f"branch {BRANCH} is there already, with other commits") as error:
        made(winner, root, tmp_path / "out")
    assert "replace it with --force" in str(error.value)
    assert not (tmp_path / "out").exists(), "nothing was written"
    assert git(root, "rev-parse", BRANCH) == theirs
    made(winner, root, tmp_path / "out", force=True)
    assert git(root, "rev-parse", f"{BRANCH}~2") == theirs
    git(root, "checkout", "--quiet", BRANCH)
    git(root, "commit", "--quiet", "--allow-empty", "-m", "more")
    with pytest.raises(UserError, match=r"git branch failed: .*(checked out|used by worktree)"):
        made(winner, root, tmp_path / "other", force=True)


async def test_what_cannot_be_proposed_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    winner = await won(tmp_path)
    nothing = replace(winner, changes=())
    with pytest.raises(UserError, match="the winner of demo is the seed harness: nothing was promoted"):
        made(nothing, tmp_path, tmp_path / "out")
    (tmp_path / "bare").mkdir()
    with pytest.raises(PrerequisiteError, match="is not in a git repository, and promotions are commits"):
        made(winner, tmp_path / "bare", tmp_path / "out")
    other = repository(tmp_path / "other", harness="def solve(task, env, llm):\n    return 'other'\n")
    with pytest.raises(UserError, match="none of the last 1 commits here holds the study's seed harness as"):
        made(winner, other, tmp_path / "out")
    root = repository(tmp_path / "work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "EVIDENCE.md").write_text("mine")
    with pytest.raises(
        UserError, match=r"EVIDENCE\.md: exists already; name another folder, or overwrite it with --force"
    ):
        made(winner, root, tmp_path / "out")
    assert git(root, "branch", "--list", "lorimer/*") == ""


async def test_a_description_is_no_longer_than_code_hosts_take(tmp_path: Path) -> None:
    winner = await won(tmp_path)
    many = replace(winner, changes=(replace(winner.changes[0], hypothesis="why " * 500),) * 100)
    write(many, "pr", tmp_path / "out", root=repository(tmp_path / "work"))
    page = (tmp_path / "out" / DESCRIPTION).read_text()
    assert len(page) <= LONGEST
    assert "more, told in `EVIDENCE.md`." in page
