"""Whether requests are streamed: as the settings say, or because a server asked for it."""

from __future__ import annotations

import re

from lorimer.models.base import ModelNote
from lorimer.models.provider import ProviderConfig

_STREAM = r"(?<!non-)(?<!non)(?<!non )[`'\"]?\bstream(?:ing|ed)?\b[`'\"]?"
_ASKED = re.compile(
    rf"{_STREAM}(?: \w+)? (?:must|should|needs? to|has to|is required to) be (?:set |enabled|true)"
    rf"|{_STREAM}[^.;]{{0,20}} (?:must|should|has to) be [`'\"]?true"
    rf"|{_STREAM}(?: \w+)?(?: is| are)? (?:strongly )?(?:required|mandatory|recommended)\b"
    r"|\bonly (?:supports?|allows?|accepts?|works? (?:with|in)|available (?:with|in|for)|supported (?:with|in))\b"
    rf"[^.;]{{0,30}}{_STREAM}"
    r"|(?:\brequires?|\bmust (?:use|have|set|enable|specify|be)|\bplease (?:use|set|enable)|\bhave to (?:use|set))\b"
    rf"[^.;]{{0,30}}{_STREAM}"
    rf"|\bset {_STREAM} ?(?:to|=) ?[`'\"]?true"
    r"|\bnon[- ]?stream(?:ing|ed)?\b[^.;]{0,40}(?:\bnot\b|n't\b|unsupported|disabled|forbidden)"
    r"|(?:\bnot\b|n't\b|\bno\b|unsupported:?)[^.;]{0,40}\bnon[- ]?stream"
    r"|\bfor non-?streaming\b"
    r"|\bstream ?= ?[`'\"]?false[^.;]{0,40}(?:\bnot\b|n't\b|unsupported)",
    re.IGNORECASE,
)
"""How servers ask for a stream; the corpus is in `tests/models/test_stream_asked.py`."""


def asks_for_stream(words: str) -> bool:
    """Whether a refusal says that the request should have been a stream. Pure."""
    return _ASKED.search(words) is not None


_NOT_TAKEN = re.compile(
    rf"{_STREAM}[^.;]{{0,30}}(?:\bnot (?:supported|allowed|available|implemented)|n't supported|unsupported|disabled)"
    rf"|(?:\bnot|n't) (?:support|allow|implement)\w* {_STREAM}|unsupported[^.;]{{0,30}}{_STREAM}",
    re.IGNORECASE,
)


def takes_no_stream(words: str) -> bool:
    """Whether a refusal says that the request must not be a stream. Pure."""
    return _NOT_TAKEN.search(words) is not None


class Streaming:
    """Whether one model's requests are streamed. Lives as long as its client."""

    def __init__(self, model: str, provider: ProviderConfig) -> None:
        self._model, self._provider = model, provider
        self._auto = provider.stream == "auto"
        self._now = provider.stream is True
        self._proven = self._useless = False

    @property
    def now(self) -> bool:
        """Whether the next request is to be a stream."""
        return self._now

    @property
    def notes(self) -> tuple[ModelNote, ...]:
        """What the user should know of it."""
        if not (self._auto and self._proven):
            return ()
        where = f"[providers.{self._provider.name}]: stream = true"
        said = f"{self._model} asks for streamed requests: all are streamed from now on ({where})"
        return (ModelNote("stream", said),)

    def refused(self, words: str, *, streamed: bool) -> bool:
        """A request was refused: whether it is worth sending again, as a stream.

        Where the stream is refused with such words as well, they meant something else, and it is not tried again.
        """
        if not self._auto or not asks_for_stream(words):
            return False
        if streamed:
            if not self._proven:
                self._now, self._useless = False, True
            return False
        self._now = not self._useless
        return self._now

    def answered(self, *, streamed: bool) -> None:
        """A request was answered."""
        self._proven = self._proven or streamed
