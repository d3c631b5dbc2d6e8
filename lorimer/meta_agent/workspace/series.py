"""A branch of the user's repository that holds a winner: a commit for each promotion, made in git's objects alone.

Neither the current branch, nor the index, nor a file of the user's is touched, and nothing is pushed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.errors import UserError
from lorimer.meta_agent.workspace.repository import Workspace

LOOKED_AT = 1_000
"""The newest commits in which the seed harness is looked for: one process reads them in 0.1 s."""


@dataclass(frozen=True)
class SeriesCommit:
    """A commit that is to be made."""

    message: str
    text: str
    """The whole harness."""
    made: str
    """When, ISO 8601; empty where it is not known: then the date is that of the commit before. The same steps give the same
    commits."""


@dataclass(frozen=True)
class Branch:
    """A branch that was made, or was there as it would have been made."""

    name: str
    base: str
    """The commit that it begins from."""
    commits: tuple[str, ...]
    new: bool
    remote: str
    """A remote to push to; "" where the repository has none."""


class SeriesWorkspace(Workspace):
    """A workspace in which such a branch is made."""

    def branch(self, name: str, seed: str, steps: Sequence[SeriesCommit], *, force: bool = False) -> Branch:
        """Make the branch on top of the newest commit that holds the seed harness.

        Args:
            seed: SHA-256 of its text.
            force: put it in the place of another branch of that name.

        Raises UserError where no commit holds the seed harness, where the branch is there with other commits, or is checked
        out; PrerequisiteError without git or a repository.
        """
        inside = self._git("rev-parse", "--is-inside-work-tree", check=False)
        if inside.stdout.strip() != b"true":
            raise self._no_repository(inside.stderr.decode("utf-8", "replace"))
        base = self._newest_with(seed)
        commits = list[str]()
        for step in steps:
            commits.append(self._commit_on(commits[-1] if commits else base, step))
        known = self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{name}", check=False).stdout.decode().strip()
        if known and known != commits[-1] and not force:
            raise UserError(
                f"branch {name} is there already, with other commits ({known[:12]})",
                "look at it, then replace it with --force, or rename it with `git branch -m`",
            )
        if known != commits[-1]:
            # git itself refuses a branch that is checked out somewhere, and a name that is none.
            self._git("branch", "--no-track", *(["--force"] if known else []), "--", name, commits[-1])
        remotes = self._git("remote").stdout.decode().split()
        remote = "origin" if "origin" in remotes else next(iter(remotes), "")
        return Branch(name, base, tuple(commits), known != commits[-1], remote)

    def push(self, branch: Branch) -> str:
        """The command that pushes the branch, to be typed by the user."""
        return self._typed("push", "--set-upstream", branch.remote or "origin", branch.name)

    def _newest_with(self, seed: str) -> str:
        listed = self._git("rev-list", f"--max-count={LOOKED_AT}", "HEAD", check=False).stdout.decode().split()
        held = self._held(listed, {})
        found = next((commit for commit in listed if held.get(commit) == seed), None)
        if found is None:
            raise UserError(
                f"none of the last {len(listed)} commits here holds the study's seed harness as {self._harness} "
                f"(SHA-256 {seed[:12]}), so there is nothing that its promotions would apply to",
                "check out a branch that held it, or write the series as files with --to patch",
            )
        return found

    def _commit_on(self, parent: str, step: SeriesCommit) -> str:
        tree = self._tree(parent, step.text)
        made = step.made or self._git("show", "--no-patch", "--format=%cI", parent).stdout.decode().strip()
        dates = {f"GIT_{who}_DATE": made for who in ("AUTHOR", "COMMITTER")}
        commit = self._git(
            *self._named(), "commit-tree", tree, "-p", parent, input_=step.message.encode(), env=dates
        ).stdout
        return commit.decode().strip()
