"""What a provider's refusal says of lengths: the most output of a model, its window, and how long the prompt is. Pure.

Every provider and server words it in its own way (the corpus is in `tests/models/test_lengths.py`), and none has a field for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Tokens, as far as they were said."""

    most: int | None = None
    """The most tokens of output that the model gives, whatever the prompt."""
    window: int | None = None
    """The tokens that prompt and output may have together."""
    prompt: int | None = None
    """The tokens of the refused request's prompt."""
    at_least: bool = False
    """`prompt` is a lower bound."""
    by_time: bool = False
    """`window` is no property of the model, but what an account may use in a minute or a day."""

    @property
    def room(self) -> int | None:
        """What the prompt leaves of the window."""
        return None if self.window is None or self.prompt is None else self.window - self.prompt


def _compiled(*forms: str) -> tuple[re.Pattern[str], ...]:
    """Forms of one statement, each in capitals or small letters."""
    return tuple(re.compile(form, re.IGNORECASE) for form in forms)


_OUTPUT = re.compile(
    r"max(?:imum)?[_ -]?(?:completion|output|new)?[_ -]?tokens?|maxOutputTokens|maximum tokens"
    r"|(?:completion|output|generated) (?:tokens|length)|in the (?:completion|output)|for the completion|messages or completion"
    r"|num_predict|n_predict|max_length",
    re.IGNORECASE,
)
"""How output is named. A refusal without any of these is about the prompt alone."""
_NUMBER = r"[`'\"(]*(\d{1,9})(?:\.0)?\b"
_WINDOWS = _compiled(
    rf"(?:context|total) (?:length|window|size|limit)(?: (?:is|of|for this model is|tokens))*\D{{0,3}}{_NUMBER}",
    rf"{_NUMBER} (?:tokens? )?maximum context",
    rf"max_model_len\D{{0,20}}{_NUMBER}",
    rf"tokens? \+ [`']?max\w*tokens[`']? must be (?:<=|less than or equal to|at most) {_NUMBER}",
    rf"max_num_tokens\D{{0,3}}{_NUMBER}",
    rf"(?:length is|requested) \d+\D{{0,40}}limit is {_NUMBER}",
    rf"\bLimit:? {_NUMBER}, Requested",
    rf"plus max_tokens \(\d+\) (?:exceeds?|must not exceed)\D{{0,60}}{_NUMBER}",
)
_TOTALS = _compiled(
    rf"requested (?:a total of |about )?{_NUMBER} tokens",
    rf"(?:current|total) length is {_NUMBER}",
    rf"\bRequested:? {_NUMBER}",
    rf"for a total of (?:at least )?{_NUMBER}",
)
_PROMPTS = _compiled(
    rf"prompt contains (?P<least>at least )?{_NUMBER}",
    rf"{_NUMBER} (?:tokens )?(?:of |from |in )(?:the |your )?(?:text input|input messages?|input|messages|prompt)",
    rf"{_NUMBER} [`']?inputs?[`']? tokens",
    rf"(?:prompt|input) (?:length|tokens)? ?\({_NUMBER}\)",
    rf"tokens in the prompt \({_NUMBER}\)",
)
_SUM = re.compile(r"(\d+) \+ (\d+) > (\d+)")
_DIFFERENCE = re.compile(r"\((\d+) > (\d+) - (\d+)\)")
_EXCLUSIVE = re.compile(r"to (\d+) \(exclusive\)", re.IGNORECASE)
_MOST = _compiled(
    rf"at most {_NUMBER}",
    rf"(?:less than or equal to|lower than or equal to|smaller than or equal to|no (?:more|greater|larger) than) {_NUMBER}",
    rf"(?:not|n't|cannot) (?:exceed|be (?:greater|more|larger|higher) than) {_NUMBER}",
    rf"(?:<=|=<|\u2264) ?{_NUMBER}",
    rf"\d+ > {_NUMBER}",
    rf"tokens[`'\"]? > {_NUMBER}",
    rf"[\[(] ?\d+ ?, ?{_NUMBER} ?[\])]",
    rf"between \d+ and {_NUMBER}",
    rf"(?:limit|maximum|max)(?: value| allowed| output| number of tokens| tokens)*(?: of| is|:| =)+ ?{_NUMBER}",
    rf"(?:supports?|allows?)(?: only)?(?: up to| a maximum of)? {_NUMBER}",
    rf"up to {_NUMBER}",
)
_LESS = re.compile(rf"(?:less|lower|smaller) than {_NUMBER}", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"too (?:large|high|big|long)|exceed|greater|above|over|invalid|out of range|range", re.IGNORECASE
)
_BY_TIME = re.compile(r"per (?:minute|min|hour|day)\b|\bTPM\b", re.IGNORECASE)
_LEAST_SAID = 16
"""A smaller number in such a message is something else: an index, a code."""


def lengths(words: str, sent: int) -> Lengths:
    """What the words of a refused request say; nothing of what they do not.

    Args:
        sent: the tokens of output that the request asked for.
    """
    text = re.sub(r"(?<=\d)[,_](?=\d{3}\b)", "", words)
    if not _OUTPUT.search(text) and not _TOTALS[2].search(text):
        return Lengths()
    if found := _SUM.search(text):
        one, two, whole = map(int, found.groups())
        return Lengths(window=whole, prompt=two if one == sent and two != sent else one)
    if found := _DIFFERENCE.search(text):
        _, whole, taken = map(int, found.groups())
        return Lengths(window=whole, prompt=taken)
    window = _first(_WINDOWS, text)
    if window is not None:
        prompt, at_least = _prompt(text, sent)
        if prompt is not None:
            return Lengths(window=window, prompt=prompt, at_least=at_least, by_time=bool(_BY_TIME.search(text)))
    return Lengths(most=_most(text, sent, window), window=window)


def _prompt(text: str, sent: int) -> tuple[int | None, bool]:
    for form in _PROMPTS:
        if found := form.search(text):
            number = next(int(group) for group in found.groups()[::-1] if group and group.isdecimal())
            return number, bool(found.groupdict().get("least"))
    total = _first(_TOTALS, text)
    return (total - sent, False) if total is not None and total > sent else (None, False)


def _most(text: str, sent: int, window: int | None) -> int | None:
    said: list[int] = []
    if found := _EXCLUSIVE.search(text):
        said.append(int(found[1]) - 1)
    said += [int(found[1]) for form in _MOST for found in form.finditer(text)]
    said += [int(found[1]) - 1 for found in _LESS.finditer(text)]
    said = [number for number in said if 1 <= number < sent]
    if said:
        return said[0]
    if window is not None or not _TOO_LARGE.search(text):
        return None
    others = {int(number) for number in re.findall(r"(?<![\w.])\d{1,9}(?![\w.]\d|\w)", text)} - {sent}
    others = {number for number in others if _LEAST_SAID <= number < sent}
    return others.pop() if len(others) == 1 else None


def _first(forms: tuple[re.Pattern[str], ...], text: str) -> int | None:
    return next((int(found[found.lastindex or 1]) for form in forms if (found := form.search(text))), None)
