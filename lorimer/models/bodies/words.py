"""What providers say of a request that they refuse."""

from __future__ import annotations

import re

CONTEXT_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt is too long|maximum context length|context window"
    r"|available context size|context size has been exceeded|context shift is disabled|input (?:is|are) too long"
    r"|exceeds? the (?:model'?s )?(?:maximum )?context|too many (?:input )?tokens|input length and `?max_tokens`? exceed"
    r"|request_too_large|longer than the maximum model length|input tokens exceed",
    re.IGNORECASE,
)
"""The conversation is longer than the model can read."""
