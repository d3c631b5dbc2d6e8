"""The user's workspace: a git repository whose history is the study's promotions.

Only the harness file is ever written, and only by a commit that holds nothing else. A user who edits the harness while a
study runs keeps their file: the promotion then goes to a branch of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from lorimer.errors import PrerequisiteError, UserError
from lorimer.meta_agent.workspace import branches, git
from lorimer.wording import visible, visible_line

STORE = Path(".lorimer") / "lorimer.db"
"""The trace store's place in a workspace."""

SUBJECT_CHARS = 72
"""What `git log --oneline` and code hosts show of a subject without cutting it."""
BYTE_ORDER_MARK = "\ufeff"
"""What some editors put before the first character of a file in UTF-8."""
HARNESS_TRAILER = "Lorimer-Harness"
"""The line of a promotion's commit with the SHA-256 of the harness that it holds."""
REVERT_TRAILER = "Lorimer-Reverted-Before"
"""The line of a commit by which a person made an earlier champion the champion again."""
CHAIN_TRAILER = "Lorimer-Chain"
"""The line of a promotion's commit with the last hash of the store's chain when it was made."""

_IDENTITY = ("-c", "user.name=lorimer", "-c", "user.email=lorimer@localhost")


@dataclass(frozen=True)
class Promotion:
    """What a promotion's commit says."""

    study: str
    candidate: str
    harness: str
    """SHA-256 of the text."""
    title: str
    hypothesis: str
    decision: str
    """The gate's sentence."""
    score: str
    interval: str
    chain: str = ""
    """The last hash of the store's chain (`traces.chain`), which this commit testifies to."""
    reverted_before: int | None = None
    """Where a person made an earlier champion the champion again: the number of the candidate that is to meet it next."""

    def message(self) -> str:
        subject = visible_line(self.title) or f"Promote {self.candidate}"
        if len(subject) > SUBJECT_CHARS:
            subject = subject[: SUBJECT_CHARS - 1].rstrip() + "…"
        trailers = {
            "Lorimer-Study": self.study,
            "Lorimer-Candidate": self.candidate,
            "Lorimer-Score": self.score,
            "Lorimer-Interval": self.interval,
            HARNESS_TRAILER: self.harness,
        }
        if self.reverted_before is not None:
            trailers[REVERT_TRAILER] = str(self.reverted_before)
        if self.chain:
            trailers[CHAIN_TRAILER] = self.chain
        paragraphs = [subject, visible(self.hypothesis.strip()), self.decision.strip()]
        paragraphs.append("\n".join(f"{key}: {value}" for key, value in trailers.items() if value))
        return "\n\n".join(part for part in paragraphs if part) + "\n"


@dataclass(frozen=True)
class Committed:
    """Where a promotion is."""

    commit: str
    branch: str = ""
    """Set when it is not in the workspace's own files: the branch that holds it."""
    note: str = ""
    """What the user should know then."""


@dataclass(frozen=True)
class FoundCommit:
    """What a promotion's commit is found to hold."""

    sha: str
    """SHA-256 of the harness's bytes in it."""
    trailers: Mapping[str, str]
    reachable: bool
    """Whether a branch, a tag or HEAD leads to it."""


class Workspace:
    """A folder with a harness and a program, in a git repository.

    Args:
        root: the folder of lorimer.toml.
        harness: path of the harness file in it.
        program: path of the direction in plain English.
    """

    def __init__(self, root: Path, harness: str = "harness/agent.py", program: str = "program.md") -> None:
        self.root, self._harness, self._program = root, harness, program

    @property
    def harness_path(self) -> Path:
        return self.root / self._harness

    def read_harness(self) -> str:
        """The harness, with the line ends that its commit has where the file's are git's doing (`core.autocrlf`, `eol=crlf`).

        Raises UserError when it is missing, no text, or begins with a byte-order mark, without which it is not the file.
        """
        if not self.harness_path.exists():
            raise self._no_harness()
        text = self._read(self.harness_path)
        if "\r\n" in text and (kept := self.committed_harness()) is not None and self._is(text.encode(), kept):
            text = kept
        if text.startswith(BYTE_ORDER_MARK):
            raise UserError(
                f"{self.harness_path}: it starts with a byte-order mark, which editors put there in vain",
                f"take it away with: sed -i '1s/^\\xEF\\xBB\\xBF//' {shlex.quote(str(self.harness_path))}",
            )
        return text

    def read_program(self) -> str:
        """The direction, without a byte-order mark. Raises UserError when it is missing or is not text."""
        if not (self.root / self._program).exists():
            raise self._not_there(self._program, "program", "write there what to aim for: echo 'Solve more tasks.' >")
        return self._read(self.root / self._program).removeprefix(BYTE_ORDER_MARK)

    def committed_harness(self) -> str | None:
        """The harness of the last commit; `None` where there is none, or no git."""
        try:
            found = self._committed()
            return None if found is None else found.decode("utf-8")
        except (UserError, PrerequisiteError, UnicodeDecodeError):
            return None

    def person(self) -> str:
        """Who works here, as git knows them (`Ada <ada@example.org>`); "" where it knows nobody, or there is no git."""
        try:
            asked = (self._git("config", f"user.{key}", check=False).stdout for key in ("name", "email"))
            name, email = (said.decode(errors="replace").strip() for said in asked)
        except (UserError, PrerequisiteError):
            return ""
        return f"{name} <{email}>" if name and email else name

    def go_back(self) -> str:
        """The command that puts the committed harness in the place of the file."""
        return self._typed("checkout", "HEAD", "--", self._harness)

    def check(self) -> None:
        """Before a study begins: promotions can be committed, and the harness is the committed one.

        Raises PrerequisiteError without git or a repository that it would use; UserError for a harness that is not there, that
        has uncommitted changes, or that git is about to merge.
        """
        inside = self._git("rev-parse", "--is-inside-work-tree", check=False)
        if inside.stdout.strip() != b"true":
            raise self._no_repository(inside.stderr.decode("utf-8", "replace"))
        if not self.harness_path.is_file():
            raise self._no_harness()
        changed = self._git("status", "--porcelain", "--untracked-files=all", "--ignored", "--", self._harness).stdout
        if not changed.strip():
            return
        if self._git("rev-parse", "--verify", "--quiet", "MERGE_HEAD", check=False).returncode == 0:
            raise UserError(
                f"{self.harness_path}: a merge of it is not finished",
                "resolve what conflicts there, then run: "
                f"{self._typed('add', '-f', self._harness)} && {self._typed(*self._named(), 'commit', '--no-edit')}",
            )
        commit = self._typed(*self._named(), "commit", "-m", "My harness", "--", self._harness)
        raise UserError(
            f"{self.harness_path}: it has uncommitted changes, so a promotion could not be told from them",
            f"run: {self._typed('add', '-f', self._harness)} && {commit}",
        )

    def promote(self, promotion: Promotion, text: str, champion: str) -> Committed:
        """Commit `text` as the harness.

        On top of the current branch where the file is still the `champion`'s text; else on `side_branch`, leaving the
        user's files alone. The same promotion again (after a crash) is found by its trailers and not made twice.

        Raises UserError with git's words when it cannot be committed.
        """
        found = self._find(promotion)
        if found:
            ours = self._git("merge-base", "--is-ancestor", found, "HEAD", check=False).returncode == 0
            if ours:
                return Committed(found)
            branch = next(iter(self.branches(f"--contains={found}")), "") or self.side_branch(promotion.study)
            return Committed(found, branch, self._aside(branch, champion))
        if self._committed() == champion.encode() and self._is(self._on_disk(), champion, text):
            crlf = b"\r\n" in (self._on_disk() or b"") and "\r\n" not in champion
            self._write(text, crlf=crlf)
            done = self._commit(promotion.message(), ("--quiet", "--no-verify", "--file=-", "--", self._harness))
            if done.returncode == 0:
                return Committed(self._git("rev-parse", "HEAD").stdout.decode().strip())
            self._write(champion, crlf=crlf)  # such as in the middle of a merge: the commit goes to the branch instead
        branch = self.side_branch(promotion.study)
        return Committed(self._commit_aside(promotion, text, branch), branch, self._aside(branch, champion))

    def side_branch(self, study: str) -> str:
        """The branch of a study's promotions that cannot be on the current one."""
        out = self._git("worktree", "list", "--porcelain", check=False).stdout.decode("utf-8", "replace").splitlines()
        taken = {line.removeprefix("branch refs/heads/") for line in out if line.startswith("branch refs/heads/")}
        return branches.side_branch(study, self.branches(), taken)

    def branches(self, *with_: str) -> list[str]:
        """All branches; with `--contains=COMMIT` those that lead to it."""
        asked = ("for-each-ref", "--format=%(refname:lstrip=2)", *with_, "refs/heads")
        return self._git(*asked, check=False).stdout.decode().splitlines()

    def committed(self) -> str | None:
        """The SHA-256 of the harness that the current branch holds; "" where it holds none, `None` where there is no commit.

        Raises PrerequisiteError without git.
        """
        held = self._committed()
        if held is None and self._git("rev-parse", "--verify", "--quiet", "HEAD", check=False).returncode != 0:
            return None
        return "" if held is None else hashlib.sha256(held).hexdigest()

    def promoted(self, commits: Iterable[str]) -> dict[str, FoundCommit]:
        """What those of these commits hold that are there with a harness in them, read from git's objects alone.

        Raises PrerequisiteError without git.
        """
        # A name that starts with a dash would be an option; git's replacement objects could show other bytes.
        known = [commit for commit in commits if re.fullmatch(r"[0-9a-f]{40,64}", commit)]
        as_stored = {"GIT_NO_REPLACE_OBJECTS": "1"}
        held = self._held(known, as_stored)
        found = {
            commit: FoundCommit(held[commit], trailers, True)
            for commit, trailers in self._trailers(list(held), as_stored).items()
        }
        if found:
            # All of refs/, and HEAD with them: what these lead to is left out.
            lost = self._git("rev-list", *found, "--not", "--all", env=as_stored).stdout.decode().split()
            found |= {commit: replace(found[commit], reachable=False) for commit in found.keys() & set(lost)}
        return found

    # ---- inside

    def _held(self, commits: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
        """The SHA-256 of the harness in each of these that is a commit and holds one; one process asks for all."""
        asked = [line for commit in commits for line in (commit, f"{commit}:./{self._harness}")]
        if not asked:
            return {}
        said = self._git("cat-file", "--batch", input_="".join(f"{line}\n" for line in asked).encode(), env=env)
        objects = git.objects(said.stdout)
        return {
            commit: hashlib.sha256(text).hexdigest()
            for commit, ((kind, _), (inner, text)) in zip(commits, zip(objects, objects, strict=True), strict=True)
            if kind == "commit" and inner == "blob"
        }

    def _trailers(self, commits: Sequence[str], env: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """The trailers of each of these commits, which are there; one process tells of all."""
        if not commits:
            return {}
        wanted = "--format=%x00%H%n%(trailers:only,unfold)"
        said = self._git("show", "--no-patch", wanted, *commits, env=env).stdout.decode("utf-8", "replace")
        found = {}
        for each in said.split("\0")[1:]:
            commit, *lines = each.splitlines()
            pairs = (line.partition(": ") for line in lines if ": " in line)
            found[commit] = {key: value.strip() for key, _, value in pairs}
        return found

    def _aside(self, branch: str, champion: str) -> str:
        """Why a promotion is on a branch of its own, and how to get at it: commands that work whatever the user did since.

        A `git merge` would stop at changes that are not committed, or at a conflict.
        """
        if self._committed() == champion.encode() and self._is(self._on_disk(), champion):
            why = "git takes no commit on the current branch, as in the middle of a merge"
        else:
            why = f"{self._harness} is not the study's champion any more (changed by hand, reverted, or promoted by another "
            why += "study) and was left as it is"
        return (
            f"{why}; the promotion is on the branch {branch} (compare: {self._typed('diff', branch, '--', self._harness)}; "
            f"take it in place of your file: {self._typed('checkout', branch, '--', self._harness)})"
        )

    def _typed(self, *arguments: str) -> str:
        """A git command for the user to type, from wherever they are."""
        return shlex.join(["git", "-C", str(self.root), *arguments])

    def _named(self) -> tuple[str, ...]:
        """What a commit needs where the user has configured no identity, or half of one; git's variables hold anyway."""
        if not self._git("config", "user.email", check=False).stdout.strip():
            return _IDENTITY
        whole = (self._git("var", f"GIT_{who}_IDENT", check=False).returncode == 0 for who in ("AUTHOR", "COMMITTER"))
        return () if all(whole) else _IDENTITY[:2]

    def _no_repository(self, said: str) -> PrerequisiteError:
        owner = re.search(r"git config --global --add safe\.directory \S.*", said)
        if owner:
            return PrerequisiteError(
                f"{self.root} belongs to another user, so git does not read the repository there", f"run: {owner[0]}"
            )
        names = [
            name
            for name in ("lorimer.toml", self._program, self._harness, ".gitignore")
            if (self.root / name).is_file()
        ]
        steps = [self._typed("init")]
        if names:
            # By name: a workspace may hold keys, and traces of gigabytes.
            steps += [self._typed("add", "-f", "--", *names), self._typed(*self._named(), "commit", "-m", "start")]
        return PrerequisiteError(
            f"{self.root} is not in a git repository, and promotions are commits", "run: " + " && ".join(steps)
        )

    def _no_harness(self) -> UserError:
        seed = shlex.quote(str(files("lorimer") / "harness" / "seeds" / "react.py"))
        make = f"start from the one that ships with lorimer: install -D -m 644 {seed}"
        return self._not_there(self._harness, "harness", make)

    def _not_there(self, name: str, setting: str, make: str) -> UserError:
        """What to do about a missing file: get back the committed one, or else the command that its name ends."""
        fix = f"{make} {shlex.quote(str(self.root / name))}"
        with suppress(UserError, PrerequisiteError):
            if self._committed(name) is not None:
                fix = f"get back the committed one with: {self._typed('checkout', 'HEAD', '--', name)}"
        return UserError(f"{self.root / name}: no such file (the setting study.{setting})", fix)

    def _read(self, path: Path) -> str:
        try:
            return path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None

    def _is(self, held: bytes | None, *texts: str) -> bool:
        """Whether what a file holds is one of these texts: to the letter, or in the line ends that git gives it in a checkout."""
        kept = [text.encode() for text in texts]
        if held is None or held in kept:
            return held is not None
        if held.replace(b"\r\n", b"\n") not in kept:
            return False
        stored = self._git("hash-object", "--stdin", f"--path={self._harness}", input_=held).stdout
        return stored == self._git("hash-object", "--stdin", input_=held.replace(b"\r\n", b"\n")).stdout

    def _on_disk(self) -> bytes | None:
        try:
            return self.harness_path.read_bytes()
        except OSError:
            return None

    def _committed(self, name: str = "") -> bytes | None:
        shown = self._git("show", f"HEAD:./{name or self._harness}", check=False)
        return shown.stdout if shown.returncode == 0 else None

    def _write(self, text: str, *, crlf: bool = False) -> None:
        """All or nothing: a reader, or a crash, meets the old file or the new one. With `crlf`, as git checks it out here."""
        path = self.harness_path
        try:
            mode = path.stat().st_mode & 0o777
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write((text.replace("\n", "\r\n") if crlf else text).encode())
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.chmod(mode)
                    temporary.replace(path)
                except BaseException:
                    temporary.unlink()
                    raise
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None

    def _find(self, promotion: Promotion) -> str:
        wanted = [f"Lorimer-Study: {promotion.study}", f"Lorimer-Candidate: {promotion.candidate}"]
        wanted.append(f"{HARNESS_TRAILER}: {promotion.harness}")
        if promotion.reverted_before is not None:
            wanted.append(f"{REVERT_TRAILER}: {promotion.reverted_before}")
        patterns = [f"--grep={line}" for line in wanted]
        found = self._git("log", "--branches", "HEAD", "--format=%H", "--fixed-strings", "--all-match", *patterns)
        return found.stdout.decode().split("\n")[0].strip()

    def _commit_aside(self, promotion: Promotion, text: str, branch: str) -> str:
        """A commit on the study's own branch: neither the user's index nor their files are touched."""
        ref = f"refs/heads/{branch}"
        parent = ""
        for tip in (ref, f"refs/heads/{branches.branch_of(promotion.study)}", "HEAD"):
            parent = parent or self._git("rev-parse", "--verify", "--quiet", tip, check=False).stdout.decode().strip()
        made = self._commit(promotion.message(), (self._tree(parent, text), "-p", parent), command="commit-tree")
        if made.returncode != 0:
            raise UserError(f"{self.root}: git could not commit the promotion: {git.last_words(made)}")
        commit = made.stdout.decode().strip()
        self._git("update-ref", ref, commit)
        return commit

    def _tree(self, parent: str, text: str) -> str:
        """The tree of a commit with `text` as its harness, made in a scratch index."""
        prefix = self._git("rev-parse", "--show-prefix").stdout.decode().strip()
        blob = self._git("hash-object", "-w", "--stdin", input_=text.encode()).stdout.decode().strip()
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            self._git("read-tree", parent, env=index)
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{self._harness}", env=index)
            return self._git("write-tree", env=index).stdout.decode().strip()

    def _commit(
        self, message: str, arguments: tuple[str, ...], command: str = "commit"
    ) -> subprocess.CompletedProcess[bytes]:
        return self._git(*self._named(), command, *arguments, check=False, input_=message.encode())

    def _git(
        self, *arguments: str, check: bool = True, input_: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git in the workspace. Raises PrerequisiteError without git; UserError on failure where `check`."""
        return git.run(self.root, *arguments, check=check, input_=input_, env=env)
