"""How many tokens a call took: the provider's count, and an upper guess from characters where it counts nothing."""

from __future__ import annotations

from dataclasses import replace

from lorimer.harness.api import Completion, Message
from lorimer.models.base import ModelRequest

BYTES_PER_TOKEN = 3.0
"""English runs at about 4 bytes a token, code and numbers at 3, Chinese and Japanese at 3 and more: what is guessed here
should rather be too high than too low."""

MESSAGE_CHARS = 16
"""What a chat template adds around a message, roughly."""

IMAGE_TOKENS = 1_600
"""What a picture counts: Anthropic's width * height / 750 for the largest that it does not make smaller first."""


def estimate_tokens(request: ModelRequest) -> int:
    """An upper guess of a request's input tokens, from its text."""
    size = _size(request.system or "")
    size += sum(_of_message(message) + MESSAGE_CHARS for message in request.messages)
    for tool in request.tools:
        size += _size(tool.name) + _size(tool.description) + _size(str(dict(tool.parameters)))
    return int(size / BYTES_PER_TOKEN) + 1


def estimate_output(completion: Completion, most: int) -> int:
    """An upper guess of an answer's tokens, from its text; an answer that was cut took all of the `most` that it might."""
    size = _of_message(completion.message)
    guess = int(size / BYTES_PER_TOKEN) + 1 if size else 0
    return max(guess, most) if completion.stop_reason == "max_tokens" else guess


def counted(request: ModelRequest, completion: Completion, most: int) -> Completion:
    """The completion with a count on both sides. Pure.

    A provider that sends no usage, null fields or zeros has counted nothing: every request has tokens, and so has every answer
    that says something. An estimate stands for the missing count, and the usage says so. Counts that contradict each other
    (more input from the cache than input) are read as the greater.

    Args:
        most: output tokens that the request allowed.
    """
    usage = completion.usage
    given = max(usage.input_tokens, usage.cached_tokens + usage.cache_write_tokens)
    taken = max(usage.output_tokens, usage.reasoning_tokens)
    usage = replace(
        usage,
        input_tokens=given or estimate_tokens(request),
        output_tokens=taken or estimate_output(completion, most),
    )
    estimated = not given or (not taken and usage.output_tokens > 0)
    return replace(completion, usage=replace(usage, estimated=estimated))


def _of_message(message: Message) -> int:
    size = _size(message.text) + sum(_size(block.text) for block in message.reasoning)
    for call in message.tool_calls:
        size += _size(call.name) + _size(str(dict(call.arguments))) + _size(call.malformed)
    return size + int(len(message.images) * IMAGE_TOKENS * BYTES_PER_TOKEN)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
