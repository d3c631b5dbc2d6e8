"""What providers say of lengths when they refuse a request, each in its own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.models.failing.lengths import Lengths, lengths

SENT = 4096
MOST = [
    # OpenAI, Azure
    (
        "max_tokens is too large: 4096. This model supports at most 2048 completion tokens, whereas you provided 4096.",
        2048,
    ),
    ("Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 2048, but got 4096 instead.", 2048),
    # Anthropic
    ("max_tokens: 4096 > 2048, which is the maximum allowed number of output tokens for claude-x-20260101", 2048),
    # Gemini, through Vertex and through the API
    (
        "Unable to submit request because it has a maxOutputTokens value of 4096 but the supported range is from 1 (inclusive) "
        "to 2049 (exclusive). Update the value and try again.",
        2048,
    ),
    ("* GenerateContentRequest.generation_config.max_output_tokens: must be in the range [1, 2048]", 2048),
    # DeepSeek, DashScope, Zhipu
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 2048]", 2048),
    ("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 2048]", 2048),
    ("max_tokens should be between 1 and 2048", 2048),
    # Groq
    (
        "`max_tokens` must be less than or equal to `2048`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model",
        2048,
    ),
    ("max_completion_tokens must be less than or equal to 2,048", 2048),
    # Mistral
    ("max_tokens: Input should be less than or equal to 2048", 2048),
    ("Invalid max_tokens: must not exceed 2048", 2048),
    # Bedrock, Cohere, Fireworks
    (
        "The maximum tokens you requested exceeds the model limit of 2048. Try again with a maximum tokens value that is "
        "lower than 2048.",
        2048,
    ),
    (
        "too many tokens: max tokens must be less than or equal to 2048, the maximum output length for this model - "
        "received 4096",
        2048,
    ),
    ("Requests with max_tokens > 2048 must have stream=true", 2048),
    # Words that nobody knows yet
    ("max_tokens 参数非法: 4096, 2048", None),
    ("Parameter max_tokens = 4096 is out of range for this deployment (2048).", 2048),
    ("max_new_tokens must be less than 2049", 2048),
]
WINDOWS = [
    # OpenAI and vLLM, old and new
    (
        "This model's maximum context length is 4096 tokens. However, you requested 4396 tokens (300 in the messages, 4096 in "
        "the completion). Please reduce the length of the messages or completion.",
        (4096, 300),
    ),
    (
        "This model's maximum context length is 4097 tokens. However, you requested 4396 tokens (250 in the messages, 50 in the "
        "functions, and 4096 in the completion).",
        (4097, 250),
    ),
    (
        "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your "
        "request has 300 input tokens (4096 > 4096 - 300). None",
        (4096, 300),
    ),
    (
        "This model's maximum context length is 4096 tokens. However, you requested 4096 output tokens and your prompt contains "
        "at least 1 input tokens, for a total of at least 4097 tokens.",
        (4096, 1),
    ),
    # SGLang
    (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 4396 tokens: "
        "300 tokens from the input messages and 4096 tokens for the completion.",
        (4096, 300),
    ),
    # Anthropic
    (
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and "
        "try again",
        (200000, 190000),
    ),
    # OpenRouter
    (
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 8396 tokens (300 of text input, "
        "8096 in the output). Please reduce the length of either one.",
        (8192, 300),
    ),
    # Text Generation Inference, Together
    (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 300 `inputs` tokens and 4096 "
        "`max_new_tokens`",
        (4097, 300),
    ),
    # Groq's and OpenAI's bounds by the minute
    (
        "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size "
        "and try again.",
        (6000, 2904),
    ),
    # Cerebras
    ("Please reduce the length of the messages or completion. Current length is 4396 while limit is 4096", (4096, 300)),
    # Mistral
    ("The number of tokens in the prompt (300) plus max_tokens (4096) exceeds the model's limit of 4096", (4096, 300)),
]
PROMPTS = [
    "prompt is too long: 205000 tokens > 200000 maximum",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "the request exceeds the available context size (8192 tokens), try increasing it",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Input is too long for requested model.",
    "messages: roles must alternate",
    "max_tokens must be at least 1, got -204.",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
]


@pytest.mark.parametrize(("words", "most"), MOST)
def test_the_most_output_of_a_model_is_read(words: str, most: int | None) -> None:
    assert lengths(words, SENT).most == most


@pytest.mark.parametrize(("words", "said"), WINDOWS)
def test_a_window_and_the_length_of_the_prompt_are_read(words: str, said: tuple[int, int]) -> None:
    found = lengths(words, SENT)
    assert (found.window, found.prompt) == said
    assert found.room == said[0] - said[1]
    assert (found.at_least, found.by_time) == ("at least" in words, "per minute" in words)


@pytest.mark.parametrize("words", PROMPTS)
def test_of_a_prompt_that_is_too_long_nothing_is_learned_for_the_output(words: str) -> None:
    found = lengths(words, SENT)
    assert (found.most, found.room) == (None, None)


@given(st.integers(1, 1 << 20), st.text())
def test_any_words_are_read(sent: int, words: str) -> None:
    found = lengths(words, sent)
    assert found.most is None or 1 <= found.most < sent


@given(sent=st.integers(2, 1 << 20), most=st.integers(1, 1 << 20), at=st.integers(0, len(MOST) - 1))
def test_whatever_the_numbers_are_a_bound_is_read_as_it_is_said(sent: int, most: int, at: int) -> None:
    words, known = MOST[at]
    if known is None or "2049" in words or "2,048" in words or "(2048)" in words:
        return
    found = lengths(words.replace("4096", str(sent)).replace("2048", str(most)), sent)
    assert most >= sent or found.most == most


@given(
    window=st.integers(1000, 1 << 20),
    prompt=st.integers(1, 1 << 20),
    sent=st.integers(1, 1 << 20),
    at=st.sampled_from([0, 2, 4]),
)
def test_whatever_the_numbers_are_a_window_is_read_as_it_is_said(window: int, prompt: int, sent: int, at: int) -> None:
    said, known = WINDOWS[at]
    said = said.replace("300", "PROMPT")
    words = said.replace("4396", "TOTAL").replace("is 4096 tokens", "is WINDOW tokens").replace("4096 -", "WINDOW -")
    words = words.replace("of 4096 tokens", "of WINDOW tokens").replace("4096", str(sent))
    for name, number in (("WINDOW", window), ("PROMPT", prompt), ("TOTAL", sent + prompt)):
        words = words.replace(name, str(number))
    assert known[1] == 300
    assert lengths(words, sent) == Lengths(window=window, prompt=prompt)
