"""A failure that stands inside a success: HTTP 200 around what is no answer. Pure, for every API.

Gateways do that (OpenRouter: `choices[0].error`, `finish_reason: "error"`), the Responses API does it by design
(`status: "failed"`, also beside what was written until then), and so does LM Studio at an address that it does not serve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lorimer.models.failing.failures import NO_PATH, StatusFailure, provider_words

BROKEN = frozenset({"error", "failed", "network_error", "insufficient_system_resource", "engine_error", "cancelled"})
"""Words of `finish_reason`, `stop_reason` or `status` for an answer that the server did not finish: OpenRouter's, the Responses
API's, Zhipu's, DeepSeek's, Moonshot's. What was written until then is no answer of the model."""

_STATUS_OF_CODE: Mapping[str, int] = {
    # The Responses API's codes of a failed response.
    "server_error": 500,
    "rate_limit_exceeded": 429,
    "vector_store_timeout": 500,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    "data_residency_mismatch": 400,
    "insufficient_quota": 429,
    # Anthropic's types of errors.
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNKNOWN = 500
"""A failure that names no code may pass."""


def failure_inside(data: Any) -> StatusFailure | None:
    """The failure in a reply that came as a success, with the HTTP status that it should have had; `None` in a good one."""
    if not isinstance(data, Mapping):
        return None
    choice = _first(data.get("choices"))
    broken = _broken(choice, "finish_reason") or _broken(data, "status") or _broken(data, "stop_reason")
    for error in (choice.get("error"), data.get("error")):
        # Some servers put an error of no weight beside a whole answer.
        if error and (broken or error is choice.get("error") or not _answers(data)):
            return _failure(error)
    return _failure({"message": f"the provider ended its answer with `{broken}`"}) if broken else None


def _failure(error: Any) -> StatusFailure:
    text = json.dumps({"error": error})
    return StatusFailure(_status(error), {}, text if provider_words(text) else "")


def _status(error: Any) -> int:
    if NO_PATH.search(str(error)):
        return 404
    if not isinstance(error, Mapping):
        return _UNKNOWN
    code = error.get("code")
    if isinstance(code, str) and code.isdecimal() and code.isascii():
        code = int(code[:4])
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return _STATUS_OF_CODE.get(str(code)) or _STATUS_OF_CODE.get(str(error.get("type"))) or _UNKNOWN


def _answers(data: Mapping[str, Any]) -> bool:
    return any(data.get(key) for key in ("choices", "output", "content"))


def _broken(part: Mapping[str, Any], key: str) -> str:
    word = part.get(key)
    return word if isinstance(word, str) and word.lower() in BROKEN else ""


def _first(choices: Any) -> Mapping[str, Any]:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}
