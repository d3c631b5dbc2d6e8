"""Six tiny questions that show what a server honours: each has an answer that only who heeds the setting can give.

Servers take settings that they have never heard of and answer as if nothing were missing, and documentation is silent on it.
So they are asked. A question costs under 100 tokens of input, that with a picture a few hundred more, and at most `FEW` of
output.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from lorimer.errors import ConfigError
from lorimer.harness.api import Completion, Tool, image, user
from lorimer.harness.structured import misfit, read
from lorimer.harness.text import text_calls
from lorimer.models.abilities import Abilities, Ability
from lorimer.models.base import ModelRequest
from lorimer.models.client import ProviderClient
from lorimer.models.failing.failures import Unreachable, UnreadableAnswer
from lorimer.models.failing.retry import Retryable

FEW = 48
"""Tokens of output: a call of a tool takes about 25. Of a model that thinks for longer nothing is learned."""
WORD = "kolibri"
"""No model says it unasked."""
_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": [WORD]}},
    "required": ["word"],
    "additionalProperties": False,
}
_TOOL = Tool(
    "press_button",
    "Press a button.",
    {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    },
)
_DIGITS = ("01110 11111", "10001 00010", "10001 00100", "01110 00010", "10001 00001", "10001 10001", "01110 01110")
NUMBER = "83"
"""What the picture shows, in dots: of a hundred that a model might guess."""
_REFUSED = frozenset(("rejected", "refusal"))


async def probe(client: ProviderClient, say: Callable[[str], None] = lambda line: None) -> Abilities:
    """What the server of a model honours. Never raises for what the server does.

    Args:
        say: told of each question before it is asked.
    """

    async def ask(
        name: str, request: ModelRequest, heeds: Callable[[Completion], bool], *, stream: bool = False
    ) -> Ability:
        say(name)
        try:
            completion, streamed = await client.as_it_stands(replace(request, max_tokens=FEW), stream=stream)
        except (Retryable, ConfigError, Unreachable, UnreadableAnswer, TimeoutError, ValueError):
            return "unknown"
        if completion.stop_reason in _REFUSED:
            return "refused"
        if streamed if stream else heeds(completion):
            return "honoured"
        if name == "tools" and text_calls(completion.text, [_TOOL]):
            return "in text"
        return "unknown" if completion.stop_reason not in ("end", "tool_calls") and not completion.text else "ignored"

    hello, press = user("Say hello."), user("Press the red button.")
    seen = user("Which number does this picture show? Answer with the number alone.", [image(picture(_DIGITS))])
    return Abilities(
        schema=await ask(
            "schema", ModelRequest((hello,), schema=_SCHEMA), lambda answer: read(answer.text, _SCHEMA)[0] is not None
        ),
        tool_choice=await ask(
            "tool_choice",
            ModelRequest((hello,), tools=(_TOOL,), tool_choice="required"),
            lambda answer: bool(answer.tool_calls),
        ),
        tools=await ask("tools", ModelRequest((press,), tools=(_TOOL,)), _presses),
        system=await ask(
            "system",
            ModelRequest((hello,), f"Whatever you are asked, answer with the one word {WORD}."),
            lambda answer: WORD in answer.text.lower(),
        ),
        stream=await ask("stream", ModelRequest((hello,)), lambda answer: True, stream=True),
        images=await ask("images", ModelRequest((seen,)), lambda answer: NUMBER in answer.text),
    )


def picture(rows: Sequence[str], scale: int = 16) -> bytes:
    """A PNG in black and white (https://www.w3.org/TR/png/): each 1 is a black square of `scale` pixels, with a margin around."""
    wide = max(map(len, rows)) + 2
    blank = "0" * wide
    lines = [f"0{row}".ljust(wide, "0") for row in rows]
    pixels = b"".join(
        (b"\0" + b"".join((b"\0" if dot == "1" else b"\xff") * scale for dot in line)) * scale
        for line in (blank, *lines, blank)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", wide * scale, (len(rows) + 2) * scale, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def _presses(answer: Completion) -> bool:
    return any(
        call.name == _TOOL.name and not misfit(dict(call.arguments), _TOOL.parameters) for call in answer.tool_calls
    )
