"""Graders: an answer beside its reference, compared on the host. What an agent wrote is data here and never runs."""

from __future__ import annotations

import asyncio
import json
import re
import string
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from lorimer.benchmarks.base import Grade
from lorimer.config.rows import Extract
from lorimer.errors import SandboxError

_SHOWN = 2_000
"""Characters of an answer that are kept for people; the whole of it is in the trace."""


class NoReference(ValueError):
    """A reference that no answer could be compared with; the message says why."""


@dataclass(frozen=True)
class Extraction:
    """Which part of a text is the answer."""

    kind: Extract = "all"
    marker: str = "####"
    decimal: str = "."

    def __call__(self, text: str) -> str | None:
        """The part, without blanks around it; `None` where the text has no such part."""
        found = self._part(text)
        return found.strip() if found and found.strip() else None

    def _part(self, text: str) -> str | None:
        match self.kind:
            case "last-line":
                return next((line for line in reversed(text.splitlines()) if line.strip()), None)
            case "last-number":
                return last_number(text, self.decimal)
            case "marker":
                _, found, after = text.rpartition(self.marker)
                return (after.lstrip().splitlines() or [""])[0] if found else None
            case "tag":
                before, closed, _ = text.rpartition("</answer>")
                _, opened, inside = before.rpartition("<answer>")
                return inside if closed and opened else None
            case "boxed":
                return _boxed(text)
            case _:
                return text

    @property
    def missing(self) -> str:
        """What is wrong with an answer that has no such part."""
        wanted = {
            "last-number": "no number",
            "marker": f"nothing after {self.marker!r}",
            "tag": "nothing between <answer> and </answer>",
            "boxed": "nothing in \\boxed{}",
        }
        return f"the answer holds {wanted.get(self.kind, 'nothing')}"


def _boxed(text: str) -> str | None:
    """What the last `\\boxed{…}` holds, with the braces in it balanced."""
    _, found, after = text.rpartition("\\boxed{")
    depth = 1
    for at, letter in enumerate(after if found else ""):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return after[:at]
    return None


# ---- exact ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """1 where the answer is one of the references, but for what `ignore` names. Raises NoReference."""

    references: tuple[str, ...]
    extract: Extraction = Extraction()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.references or not all(self._plain(reference) for reference in self.references):
            raise NoReference(
                "is blank" + (", once " + " and ".join(self.ignore) + " are ignored" if self.ignore else "")
            )

    async def grade(self, answer: str, timeout: float) -> Grade:
        """See Grader."""
        found = self.extract(answer)
        same = found is not None and self._plain(found) in {self._plain(reference) for reference in self.references}
        return _grade(same, found, self.references, "" if found is not None else self.extract.missing)

    def _plain(self, text: str) -> str:
        # A line ends as its file was saved, which is no part of what it says.
        text = unicodedata.normalize("NFC", text).replace("\r\n", "\n")
        if "case" in self.ignore:
            text = text.casefold()
        if "punctuation" in self.ignore:
            text = "".join(letter for letter in text if unicodedata.category(letter)[0] != "P")
            text = text.translate(
                str.maketrans("", "", string.punctuation)
            )  # such as $ and +, which Unicode calls symbols
        if "articles" in self.ignore:
            text = re.sub(r"\b(?:a|an|the)\b", " ", text, flags=re.IGNORECASE)
        if "whitespace" in self.ignore or "articles" in self.ignore:
            text = " ".join(text.split())
        return text.strip()


# ---- numeric --------------------------------------------------------------------------------------------------------

_DIGITS = 300
"""The longest number, exponent included: about what a float can be, so that no answer makes arithmetic slow."""
_CURRENCY = "$¢-¥฿₠-\u20cf"
_MINUS = "\u2212\u2013-"


def _number(decimal: str, blanks: str = "") -> str:
    """A regular expression for a number without sign, currency or percent sign."""
    point, comma = re.escape(decimal), re.escape("," if decimal == "." else ".")
    grouped = rf"[0-9]{{1,3}}(?:[{comma}'_\u00a0\u202f{blanks}][0-9]{{3}})+(?![0-9])"
    return rf"(?:(?:{grouped}|[0-9]+)(?:{point}[0-9]+)?|{point}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}}(?![0-9]))?"


_FOUND = {
    # A dash between two words or numbers is no sign: the last number of 2023-11-21 is 21.
    decimal: re.compile(
        rf"(?:(?<![\w.)])[+{_MINUS}]\s?)?(?:[{_CURRENCY}]\s?)?(?:(?<=[{_CURRENCY}])[+{_MINUS}])?"
        rf"(?<!\w)(?<!\w[.,]){_number(decimal)}\s?%?"
    )
    for decimal in ".,"
}
# In running text a blank between two numbers parts them; in a text that is one number it parts thousands.
_WHOLE = {decimal: re.compile(_number(decimal, " ")) for decimal in ".,"}


def last_number(text: str, decimal: str = ".") -> str | None:
    """The last number in a text, with its sign, currency and percent sign."""
    found = None
    for match in _FOUND[decimal].finditer(text):
        found = match[0].strip()
    return found


def number(text: str, decimal: str = ".", percent: str = "number") -> Decimal | None:
    """A text that is one number and nothing else: `1,234.5`, `$5`, `-7 %`, `1e5`; a full stop at its end is no part of it."""
    text = text.strip(" \t\r\n*`").removesuffix(".")
    bare = re.sub(rf"[{_CURRENCY}]", "", text).strip()
    negative = bare[:1] in tuple(_MINUS)
    if negative or bare.startswith("+"):
        bare = bare[1:].strip()
    hundredths = bare.endswith("%")
    bare = bare.removesuffix("%").strip()
    if len(bare) > _DIGITS or not _WHOLE[decimal].fullmatch(bare):
        return None
    kept = "0123456789eE+-" + decimal
    value = Decimal("".join(letter for letter in bare if letter in kept).replace(decimal, "."))
    if abs(value.adjusted()) > _DIGITS:
        return None
    value = -value if negative else value
    return value / 100 if hundredths and percent == "hundredths" else value


@dataclass(frozen=True)
class Numeric:
    """1 where the answer is a number within a tolerance of one of the references. Raises NoReference."""

    references: tuple[str, ...]
    extract: Extraction = Extraction()
    tolerance: float = 0.0
    relative: float = 0.0
    decimal: str = "."
    percent: str = "number"
    values: tuple[Decimal, ...] = field(init=False)

    def __post_init__(self) -> None:
        values = [number(reference, self.decimal, self.percent) for reference in self.references]
        bad = [text for text, value in zip(self.references, values, strict=True) if value is None]
        if bad or not values:
            raise NoReference(f"{bad[0][:80]!r} is no number" if bad else "is blank")
        object.__setattr__(self, "values", tuple(value for value in values if value is not None))

    async def grade(self, answer: str, timeout: float) -> Grade:
        """See Grader."""
        found = self.extract(answer)
        value = None if found is None else number(found, self.decimal, self.percent)
        if value is None:
            note = self.extract.missing if found is None else f"the answer is no number: {found[:80]!r}"
            return _grade(False, found, self.references, note)
        return _grade(any(self._near(value, wanted) for wanted in self.values), found, self.references)

    def _near(self, value: Decimal, wanted: Decimal) -> bool:
        with localcontext(prec=2 * _DIGITS + 20):
            room = max(Decimal(repr(self.tolerance)), Decimal(repr(self.relative)) * abs(wanted))
            return abs(value - wanted) <= room


# ---- regex ----------------------------------------------------------------------------------------------------------

# Matching holds the interpreter and cannot be interrupted, and an answer can be written so that it takes for ever.
_MATCHER = (
    "import json, re, sys\n"
    "pattern, text, whole = json.loads(sys.stdin.buffer.read())\n"
    "print(int(bool((re.fullmatch if whole else re.search)(pattern, text))))"
)


@dataclass(frozen=True)
class Regex:
    """1 where a regular expression matches the answer. It runs in a process that ends with its time.

    Raises NoReference; `grade` raises SandboxError where that process is killed, which tells nothing of the answer.
    """

    pattern: str
    extract: Extraction = Extraction()
    fullmatch: bool = False

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise NoReference(f"is no regular expression: {error}") from None
        if compiled.fullmatch("") if self.fullmatch else compiled.search(""):
            raise NoReference(f"{self.pattern[:80]!r} matches an empty answer, so it tells no answer from another")

    async def grade(self, answer: str, timeout: float) -> Grade:
        """See Grader."""
        found = self.extract(answer)
        if found is None:
            return _grade(False, found, (self.pattern,), self.extract.missing)
        matcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _MATCHER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,  # Ctrl-C and a closed terminal are not for it
        )
        try:
            async with asyncio.timeout(timeout):
                printed, _ = await matcher.communicate(json.dumps([self.pattern, found, self.fullmatch]).encode())
        finally:
            if matcher.returncode is None:
                matcher.kill()
                await matcher.wait()
        if matcher.returncode is not None and matcher.returncode < 0:
            raise SandboxError(f"the process that matches an answer was ended by signal {-matcher.returncode}")
        return _grade(printed.strip() == b"1", found, (self.pattern,))


# ---- multiple choice ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """1 where the answer names the right choice, by its letter or by its text. Raises NoReference."""

    choices: tuple[str, ...]
    right: int
    """Its place among them, from 0."""
    extract: Extraction = Extraction()

    def __post_init__(self) -> None:
        if not 2 <= len(self.choices) <= len(string.ascii_uppercase):
            raise NoReference(f"{len(self.choices)} choices; there must be 2 to {len(string.ascii_uppercase)}")
        texts = [_told(choice) for choice in self.choices]
        if texts.count(texts[self.right]) > 1:
            raise NoReference(f"the right choice, {self.choices[self.right][:80]!r}, is there twice")

    @property
    def letter(self) -> str:
        return string.ascii_uppercase[self.right]

    async def grade(self, answer: str, timeout: float) -> Grade:
        """See Grader."""
        part = self.extract(answer)
        picked = None if part is None else self._picked(part)
        shown = part if picked is None else f"{string.ascii_uppercase[picked]}, of: {part}"
        note = (
            ""
            if picked is not None
            else self.extract.missing
            if part is None
            else "the answer names none of the choices"
        )
        return _grade(picked == self.right, shown, (f"{self.letter}. {self.choices[self.right]}",), note)

    def _picked(self, text: str) -> int | None:
        """Which choice is named: by the whole text, else after the last `answer is` or `answer:`, else by the last line."""
        parts = [text]
        said = re.split(r"\banswer(?:\s+is)?\s*:?(?=\W)", text, flags=re.IGNORECASE)
        if len(said) > 1:
            after = said[-1].strip()
            parts += [(after.splitlines() or [""])[0], re.split(r"[.\n](?:\s|$)", after, maxsplit=1)[0]]
        parts.append(text.strip().splitlines()[-1])
        return next((place for place in map(self._whole, parts) if place is not None), None)

    def _whole(self, text: str) -> int | None:
        """The choice that a text is, whole: `B`, `(b)`, `B. its text`, `its text`."""
        place = self._by_text(text)
        return self._by_letter(text) if place is None else place

    def _by_text(self, text: str) -> int | None:
        told, texts = _told(text), [_told(choice) for choice in self.choices]
        return texts.index(told) if texts.count(told) == 1 else None

    def _by_letter(self, text: str) -> int | None:
        letters = string.ascii_uppercase[: len(self.choices)]
        match = re.fullmatch(rf"[\W_]*([{letters}{letters.lower()}])(?:[\W_]+(.*))?", text.strip(), re.DOTALL)
        if match is None:
            return None
        place = letters.index(match[1].upper())
        rest = _told(match[2] or "")
        return place if not rest or rest == _told(self.choices[place]) else None


@dataclass(frozen=True)
class LetteredChoice(Choice):
    """A choice among texts of which some are letters (`A. B`), in a task that shows the letters: a letter alone is one of
    these, and no text."""

    def _whole(self, text: str) -> int | None:
        place = self._by_letter(text)
        return self._by_text(text) if place is None else place


def has_letters(choices: Sequence[str]) -> bool:
    """Whether the text of some choice is a letter that stands for one of them."""
    letters = set(string.ascii_lowercase[: len(choices)])
    return any(_told(choice) in letters for choice in choices)


def _told(text: str) -> str:
    """A choice without what writing differs in: case, blanks, marks around it."""
    return " ".join(text.split()).strip("*_`\"'.,;:!?()[] ").casefold()


def _grade(right: bool, found: str | None, references: Sequence[str], note: str = "") -> Grade:
    shown = "nothing" if found is None else found if len(found) <= _SHOWN else f"{found[:_SHOWN]} …"
    return Grade(float(right), note, f"answer: {shown}\nreference: {' or '.join(references)}")
