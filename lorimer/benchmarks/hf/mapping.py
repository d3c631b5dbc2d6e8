"""`[benchmark.hf]`, checked against a data set's columns, and one row of it as a task."""

from __future__ import annotations

import hashlib
import json
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorimer.benchmarks import _files
from lorimer.benchmarks.base import NOTHING_RUNS, Graded, Grader, RewardFiles, RewardSource, Script, Task
from lorimer.benchmarks.hf.answers import (
    Choice,
    Exact,
    Extraction,
    LetteredChoice,
    NoReference,
    Numeric,
    Regex,
    has_letters,
)
from lorimer.benchmarks.hf.rows import DataRow
from lorimer.benchmarks.hf.values import Empty, MappedKey, RowValues, canonical, text_of
from lorimer.config.rows import HfSettings
from lorimer.errors import ConfigError, TaskError
from lorimer.sandbox.base import BuiltImage, ImageSpec, PulledImage, PythonImage, SandboxLimits

_CHECKER = Path(__file__).parent / "check.py"
_REWARD = "/logs/verifier/reward.json"
_MESSAGE = "/tests/answer.txt"
_PREPARED = 30.0
"""Seconds beside the check's own, to start and to clear up."""
MAX_FILES = 32 << 20
"""Bytes of one task's files together: they are held in memory, for every task."""
KEYS = {
    "exact": ("ignore",),
    "numeric": ("tolerance", "relative_tolerance", "decimal", "percent"),
    "regex": ("pattern", "fullmatch", "seconds"),
    "multiple-choice": ("choices", "answers", "first_choice"),
    "python": ("check", "check_file", "seconds"),
}
"""Which keys of the scorer belong to which kind."""


@dataclass(frozen=True)
class RowVerifier:
    """How a row's answer is verified, and the answer that is right."""

    verifier: Script
    reward: RewardSource
    reference: str | None
    """What the oracle answers; `None` where the data set does not say."""
    said: str
    """All that the verdict depends on, for the task's digest."""


class RowMapping:
    """What every row says, once it is known that the columns exist and the templates can be read.

    Args:
        columns: the data set's.
        base: the workspace, for `check_file` and `environment`.

    Raises ConfigError with the key at fault.
    """

    def __init__(self, settings: HfSettings, columns: Sequence[str], base: Path) -> None:
        self._settings, self._base = settings, base
        scorer = settings.scorer
        if not settings.instruction:
            raise ConfigError(
                "benchmark.hf.instruction: is not set; name the column that holds the question, or write a template; "
                f"there are {', '.join(columns[:20])}"
            )
        own = {key for keys in KEYS.values() for key in keys} - set(KEYS[scorer.kind])
        for key in sorted(own):
            if getattr(scorer, key) == type(scorer).model_fields[key].default:
                continue
            kinds = " and ".join(kind for kind, keys in KEYS.items() if key in keys)
            raise ConfigError(f"benchmark.hf.scorer.{key}: is for {kinds}, not for {scorer.kind}")
        answers = RowValues(columns)
        self._answer = answers.make("benchmark.hf.answer", settings.answer) if settings.answer else None
        self._check = answers.make("benchmark.hf.scorer.check", scorer.check) if scorer.check else None
        self._pattern = answers.make("benchmark.hf.scorer.pattern", scorer.pattern) if scorer.pattern else None
        self._choices = tuple(answers.column("benchmark.hf.scorer.choices", name) for name in scorer.choices)
        # What a template is made of may be meant for the agent too, such as a prompt and what completes it.
        hidden = frozenset[str]().union(
            *(value.reads for value in (self._answer, self._check) if value and value.is_column)
        )
        shown = RowValues(columns, ("lettered_choices",) if self._choices else ())
        self.id = shown.make("benchmark.hf.id", settings.id) if settings.id else None
        self._instruction = shown.make("benchmark.hf.instruction", settings.instruction, hidden=hidden)
        self._files = {
            _path(path): shown.make(f"benchmark.hf.files.{path}", written, hidden=hidden)
            for path, written in settings.files.items()
        }
        self._words = {
            key: shown.make(f"benchmark.hf.{key}", written)
            for key in ("category", "difficulty", "source_id")
            if (written := getattr(settings, key))
        }
        self._image = self._environment()
        self._verifier_of = self._verifiers_for(scorer.kind)

    def task(self, id_: str, row: DataRow) -> Task:
        """One row as a task. Raises TaskError with the key at fault."""
        settings = self._settings
        row = {**row, "lettered_choices": _lettered(_of(id_, self._choice_texts, row))} if self._choices else row
        instruction = _of(id_, self._instruction.text, row, self._instruction.key)
        if settings.answer_file is not None and settings.answer_file not in instruction:
            problem = f"does not say {settings.answer_file}, where the answer is looked for"
            raise TaskError(id_, "benchmark.hf.instruction", problem)
        files = {path: _of(id_, value.data, row, value.key) for path, value in self._files.items()}
        if sum(map(len, files.values())) > MAX_FILES:
            raise TaskError(id_, "benchmark.hf.files", f"hold more than {MAX_FILES:,} bytes")
        words = {key: _of(id_, _word(value), row, value.key) for key, value in self._words.items()}
        found = _of(id_, self._verifier_of, row)
        limits = SandboxLimits(cpus=settings.cpus, memory_mb=settings.memory_mb, network=settings.network)
        task = Task(
            id=id_,
            instruction=instruction,
            image=self._image[0],
            verifier=found.verifier,
            solution=None if found.reference is None else self._solution(found.reference),
            limits=limits,
            agent_timeout=settings.agent_seconds,
            workdir=settings.workdir,
            workspace=tuple(
                (data, posixpath.normpath(posixpath.join(settings.workdir, path))) for path, data in files.items()
            ),
            reward=found.reward,
            **words,
        )
        return replace(task, digest=self._digest(task, found))

    def _solution(self, reference: str) -> Script:
        """Puts the reference where an answer belongs; what it prints is the oracle's last message."""
        answer = reference.encode("utf-8", "replace")
        if self._settings.answer_file is not None:
            return Script(None, self._settings.answer_file, "true", 60.0, extra=((answer, self._settings.answer_file),))
        return Script(
            None, "/solution/answer.txt", "cat /solution/answer.txt", 60.0, extra=((answer, "/solution/answer.txt"),)
        )

    def _digest(self, task: Task, found: RowVerifier) -> str:
        files = {target: hashlib.sha256(data).hexdigest() for data, target in task.workspace if isinstance(data, bytes)}
        said = [task.id, task.instruction, files, self._image[1], repr(task.limits), task.agent_timeout, task.workdir]
        said += [
            found.reference,
            found.said,
            self._settings.answer_file,
            task.category,
            task.difficulty,
            task.source_id,
        ]
        return hashlib.sha256(canonical(said).encode("utf-8", "replace")).hexdigest()

    def _environment(self) -> tuple[ImageSpec, str]:
        """The image of all tasks, and what stands for its content in their digests."""
        settings = self._settings
        if settings.image is not None and settings.environment is not None:
            raise ConfigError("benchmark.hf.environment: an image is set too; only one of them can be the container's")
        if settings.image is not None:
            return PulledImage(settings.image), settings.image
        if settings.environment is None:
            return PythonImage(), "python"
        context = self._base / settings.environment
        if not (context / "Dockerfile").is_file():
            raise ConfigError(f"benchmark.hf.environment: {context}: holds no Dockerfile")
        try:
            content = _files.digest("environment", context, _files.walk("environment", context))
        except TaskError as error:
            raise ConfigError(f"benchmark.hf.environment: {context / error.key}: {error.problem}") from None
        return BuiltImage(context), content

    # ---- scorers ----------------------------------------------------------------------------------------------------

    def _verifiers_for(self, kind: str) -> Callable[[DataRow], RowVerifier]:
        """How a row's answer is verified. Raises ConfigError where a key that this kind of scorer needs is not set."""
        scorer = self._settings.scorer
        if kind in ("exact", "numeric", "multiple-choice") and self._answer is None:
            raise ConfigError(f"benchmark.hf.answer: is not set; the scorer {kind} compares with it")
        if kind == "multiple-choice" and not self._choices:
            raise ConfigError("benchmark.hf.scorer.choices: is not set; name the column that lists the choices")
        if kind == "regex" and self._pattern is None:
            raise ConfigError("benchmark.hf.scorer.pattern: is not set; the scorer regex needs it")
        if kind == "python":
            if (self._check is None) == (scorer.check_file is None):
                raise ConfigError(
                    "benchmark.hf.scorer.check: the scorer python needs this or check_file, and one alone"
                )
            return self._python(self._check_text())
        grader: Mapping[str, Callable[[DataRow], tuple[Grader, str | None]]] = {
            "exact": self._exact,
            "numeric": self._numeric,
            "regex": self._regex,
            "multiple-choice": self._choice,
        }
        make = grader[kind]

        def verifier_of(row: DataRow) -> RowVerifier:
            built, reference = make(row)
            verifier = replace(NOTHING_RUNS, timeout=scorer.seconds)
            return RowVerifier(verifier, Graded(built, self._settings.answer_file), reference, repr(built))

        return verifier_of

    def _extraction(self) -> Extraction:
        scorer = self._settings.scorer
        return Extraction(scorer.extract, scorer.marker, scorer.decimal)

    def _references(self, row: DataRow) -> tuple[str, ...]:
        """The data set's right answers, extracted. Raises Empty with the key."""
        assert self._answer is not None
        scorer = self._settings.scorer
        found = _keyed(self._answer.get, row, self._answer.key)
        extract = Extraction(scorer.extract_reference, scorer.marker, scorer.decimal)
        answers = []
        for each in found if isinstance(found, list | tuple) else [found]:
            text = extract(_keyed(text_of, each, self._answer.key))
            if text is None:
                raise _Keyed(self._answer.key, "is blank" if extract.kind == "all" else extract.missing)
            answers.append(text)
        if not answers:
            raise _Keyed(self._answer.key, "is an empty list in this row")
        return tuple(answers)

    def _as_answered(self, reference: str) -> str:
        """A reference as an agent has to write it, so that the oracle's answer is found."""
        scorer = self._settings.scorer
        wrapped = {
            "marker": f"{scorer.marker} {reference}",
            "tag": f"<answer>{reference}</answer>",
            "boxed": f"\\boxed{{{reference}}}",
        }
        return wrapped.get(scorer.extract, reference)

    def _exact(self, row: DataRow) -> tuple[Grader, str]:
        references = self._references(row)
        return Exact(references, self._extraction(), self._settings.scorer.ignore), self._as_answered(references[0])

    def _numeric(self, row: DataRow) -> tuple[Grader, str]:
        scorer, references = self._settings.scorer, self._references(row)
        built = Numeric(
            references, self._extraction(), scorer.tolerance, scorer.relative_tolerance, scorer.decimal, scorer.percent
        )
        return built, self._as_answered(references[0])

    def _regex(self, row: DataRow) -> tuple[Grader, str | None]:
        assert self._pattern is not None
        pattern = _keyed(self._pattern.text, row, self._pattern.key)
        try:
            built = Regex(pattern, self._extraction(), self._settings.scorer.fullmatch)
        except NoReference as problem:
            raise _Keyed(self._pattern.key, str(problem)) from None
        return built, None if self._answer is None else self._as_answered(self._references(row)[0])

    def _choice_texts(self, row: DataRow) -> tuple[str, ...]:
        found = [_keyed(value.get, row, value.key) for value in self._choices]
        listed = found[0] if len(found) == 1 else found
        if not isinstance(listed, list | tuple):
            raise _Keyed("benchmark.hf.scorer.choices", f"column {self._settings.scorer.choices[0]} holds no list")
        return tuple(_keyed(text_of, each, "benchmark.hf.scorer.choices") for each in listed)

    def _choice(self, row: DataRow) -> tuple[Grader, str]:
        assert self._answer is not None
        texts, (answer, *more) = self._choice_texts(row), self._references(row)
        asked = self._settings.scorer.answers
        if asked == "any" and type(_keyed(self._answer.get, row, self._answer.key)) is int:
            asked = "place"  # a column of numbers counts choices
        ways = {way: place for way, place in self._meant(answer, texts).items() if asked in ("any", way)}
        if more or not ways:
            what = (
                f"is no {asked} of a choice"
                if asked != "any"
                else "is none of the choices, nor a letter or a place of one"
            )
            raise _Keyed(self._answer.key, f"{answer[:80]!r} {'is several' if more else what}")
        if len(set(ways.values())) > 1:
            both = " and ".join(f"the {way} of {texts[place][:40]!r}" for way, place in ways.items())
            how = " or ".join(f'"{way}"' for way in ways)
            raise _Keyed(self._answer.key, f"{answer[:80]!r} is {both}: set benchmark.hf.scorer.answers to {how}")
        right, letters = next(iter(ways.values())), has_letters(texts)
        shown = "text" not in ways or any("lettered_choices" in value.reads for value in self._shown())
        kind = LetteredChoice if letters and shown else Choice
        built = kind(texts, right, self._extraction())
        # Where letters are not shown, a letter that is a choice's text is taken for that.
        return built, self._as_answered(texts[right] if letters and not shown else built.letter)

    def _shown(self) -> Sequence[MappedKey]:
        """What the agent reads of a row."""
        return self._instruction, *self._files.values()

    def _meant(self, answer: str, texts: Sequence[str]) -> dict[str, int]:
        """The choice that an answer means, for each way in which it can name one."""
        letters, counted = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(texts)], answer.isascii() and answer.isdigit()
        found = {
            "text": next((place for place, text in enumerate(texts) if text.strip() == answer), -1),
            "letter": letters.find(answer.upper()) if len(answer) == 1 else -1,
            "place": int(answer) - self._settings.scorer.first_choice if counted else -1,
        }
        return {way: place for way, place in found.items() if 0 <= place < len(texts)}

    def _check_text(self) -> Callable[[DataRow], tuple[tuple[bytes, str], ...]]:
        """The check's files for a row."""
        name = self._settings.scorer.check_file
        if name is None:
            check = self._check
            assert check is not None
            return lambda row: ((_keyed(check.text, row, check.key).encode("utf-8", "replace"), "/tests/check.py"),)
        try:
            program = _files.read_text("check", self._base, name).encode()
        except TaskError as error:
            raise ConfigError(f"benchmark.hf.scorer.check_file: {self._base / name}: {error.problem}") from None
        return lambda row: (
            (program, "/tests/check.py"),
            (canonical(dict(row)).encode("utf-8", "replace"), "/tests/row.json"),
        )

    def _python(self, files: Callable[[DataRow], tuple[tuple[bytes, str], ...]]) -> Callable[[DataRow], RowVerifier]:
        settings = self._settings
        command = shlex.join(
            ["python3", "-I", "-S", "/tests/hf_check.py", f"{settings.scorer.seconds:g}", _REWARD, "/tests/check.py"]
        )
        checker = hashlib.sha256(_CHECKER.read_bytes()).hexdigest()

        def verifier_of(row: DataRow) -> RowVerifier:
            extra = files(row)
            try:
                compile(extra[0][0], "check", "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                raise _Keyed("benchmark.hf.scorer.check", f"is not Python: {error}") from None
            verifier = Script(
                source=_CHECKER,
                target="/tests/hf_check.py",
                command=command,
                timeout=settings.scorer.seconds + _PREPARED,
                env={"ANSWER_FILE": settings.answer_file or _MESSAGE},
                extra=extra,
                message=None if settings.answer_file else _MESSAGE,
                user="0",
            )
            reference = None if self._answer is None else _keyed(self._answer.text, row, self._answer.key)
            said = json.dumps([command, checker, *(hashlib.sha256(data).hexdigest() for data, _ in extra)])
            return RowVerifier(verifier, RewardFiles((_REWARD,)), reference, said)

        return verifier_of


class _Keyed(Empty):
    """Empty, with the key at fault."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def _keyed(get: Callable[[Any], Any], given: Any, key: str) -> Any:
    try:
        return get(given)
    except Empty as problem:
        raise _Keyed(key, str(problem)) from None


def _of(id_: str, get: Callable[[DataRow], Any], row: DataRow, key: str = "benchmark.hf.answer") -> Any:
    """What `get` makes of a row. Raises TaskError for what it cannot use."""
    try:
        return get(row)
    except (Empty, NoReference) as problem:
        raise TaskError(id_, getattr(problem, "key", key), str(problem)) from None


def _word(value: MappedKey) -> Callable[[DataRow], str]:
    def word(row: DataRow) -> str:
        return " ".join(text_of(value.get(row)).split())[:200]

    return word


def _path(path: str) -> str:
    parts = path.split("/")
    if not path or path.endswith("/") or ".." in parts or "\0" in path:
        raise ConfigError(f"benchmark.hf.files.{path}: is no path of a file; '..' has no place in it")
    return path


def _lettered(choices: Sequence[str]) -> str:
    return "\n".join(f"{chr(ord('A') + place)}. {choice}" for place, choice in enumerate(choices[:26]))
