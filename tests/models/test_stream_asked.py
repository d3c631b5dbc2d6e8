"""How servers ask for streamed requests, and what does not ask for them."""

from __future__ import annotations

import pytest

from lorimer.models.failing.failures import what_helps
from lorimer.models.streamed import asks_for_stream

ASKED = (
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "This model only support stream mode, please enable the stream parameter to access the model.",
    "Stream must be set to true",
    "'stream' must be True",
    "stream must be true for this model.",
    "The `stream` parameter must be true",
    "stream should be set to true",
    "Streaming is required for operations that may take longer than 10 minutes.",
    "Streaming is strongly recommended for operations that may take longer than 10 minutes",
    "Requests with max_tokens > 4096 must have stream=true",
    "This model only supports streaming output",
    "QwQ only supports stream",
    "this endpoint only accepts streaming requests",
    "Non-streaming requests are not supported for this model",
    "non-stream mode is disabled",
    "The deployment does not support non-streaming",
    "Unsupported: non-streaming completion",
    "model requires streaming",
    "You must use streaming for this model",
    'please set "stream" to true',
    "set stream=true",
    "stream=false is not supported",
    "streaming required",
)
NOT_ASKED = (
    "",
    "Streaming is not supported for this model",
    "this model does not support streaming",
    "stream is not supported with tools",
    "This model only supports non-streaming requests",
    "only non-stream requests are accepted",
    "'stream' must be a boolean",
    "stream must be false",
    "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    "stream_options is not supported",
    "max_tokens must be at most 4096",
    "upstream must be set to a known host",
    "the upstream server is required to answer",
    "invalid model",
)


@pytest.mark.parametrize("words", ASKED)
def test_words_that_ask_for_a_stream(words: str) -> None:
    assert asks_for_stream(words)


@pytest.mark.parametrize("words", NOT_ASKED)
def test_words_that_do_not(words: str) -> None:
    assert not asks_for_stream(words)


@pytest.mark.parametrize("words", [*NOT_ASKED[1:4], "Unsupported parameter: 'stream'", "streaming is disabled here"])
def test_a_server_without_streams_is_told_by_name(words: str) -> None:
    assert what_helps(words, "local") == "it takes no streamed requests: set stream = false in [providers.local]"


@pytest.mark.parametrize("words", [*ASKED, *NOT_ASKED[4:]])
def test_other_words_about_streams_are_not_taken_for_that(words: str) -> None:
    assert "takes no streamed requests" not in what_helps(words, "local")


def test_where_a_stream_is_refused_too_the_advice_names_both_settings() -> None:
    assert what_helps(ASKED[0], "local") == (
        "it asks for a streamed request, and unless stream = false stands in [providers.local], it refused one too: extra_body "
        "may turn off what needs streams"
    )
