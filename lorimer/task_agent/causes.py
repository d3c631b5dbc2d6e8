"""Who is to blame for how a trial ended: the one table (DESIGN 4.3).

Errored is not failed. The harness's own fault scores; the world's fault errors, is retried, then excluded.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why the agent's part of a trial ended, or why the trial has no reward."""

    FINISHED = "finished"
    """The harness returned. Right or wrong, the verifier says."""
    HARNESS_EXCEPTION = "harness_exception"
    BAD_RETURN = "bad_return"
    """`solve` returned something that is not a string, or is missing."""
    LIMIT_CALLS = "limit_calls"
    LIMIT_TOKENS = "limit_tokens"
    LIMIT_DOLLARS = "limit_dollars"
    LIMIT_SECONDS = "limit_seconds"
    PROTOCOL_BREACH = "protocol_breach"
    JAIL_MEMORY = "jail_memory"
    JAIL_DIED = "jail_died"
    """The jail's process ended on its own without finishing (pid limit, self-kill, interpreter crash)."""
    VERIFIER_TIMEOUT = "verifier_timeout"
    """The verifier ran over its time after the agent acted: the agent may have made it slow; treated like REWARD_MISSING."""

    REWARD_MISSING = "reward_missing"
    REWARD_UNREADABLE = "reward_unreadable"
    REWARD_SCALE = "reward_scale"
    """The reward is a number, and not from 0 to 1, and nobody said what it means: the task cannot be scored."""
    SANDBOX_LOST = "sandbox_lost"
    """The sandbox died or its engine failed after the agent had acted."""

    VERIFIER_BROKEN = "verifier_broken"
    """The verifier gave no reward above 0 and told of a failed download, or gave none and failed like those of other tasks; and
    it fails without the agent too (`verifiers`)."""
    VERIFIER_OUTAGE = "verifier_outage"
    """The same of several tasks in a row, and no verifier worked meanwhile."""

    PROVIDER_OUTAGE = "provider_outage"
    PROVIDER_REFUSAL = "provider_refusal"
    """The provider refused every call of the trial, and a plain question of lorimer's own (`refusals`)."""
    PROVIDER_CALL = "provider_call"
    """The provider failed at a conversation of the trial for good, and answered a plain question meanwhile (`refusals`)."""
    RECORD_PARTED = "record_parted"
    """The trial cannot go on from the record that answered it, and is run anew, whole and live (`paired`)."""
    ENGINE_FAILURE = "engine_failure"
    """The sandbox or the jail could not be made."""
    ENGINE_OUTAGE = "engine_outage"
    """The engine did not answer: it was stopped or restarted, before the agent acted or after."""
    IMAGE_BUILD = "image_build"
    INTERNAL = "internal"
    """Our bug."""
    CANCELLED = "cancelled"
    """Stopped by the user or by an early stop; not an outcome, never counted."""


SCORED = frozenset(
    {
        Cause.FINISHED,
        Cause.HARNESS_EXCEPTION,
        Cause.BAD_RETURN,
        Cause.LIMIT_CALLS,
        Cause.LIMIT_TOKENS,
        Cause.LIMIT_DOLLARS,
        Cause.LIMIT_SECONDS,
        Cause.PROTOCOL_BREACH,
        Cause.JAIL_MEMORY,
        Cause.JAIL_DIED,
    }
)
"""The verifier is run, and its reward stands."""

SUSPECT = frozenset({Cause.VERIFIER_TIMEOUT, Cause.REWARD_MISSING, Cause.REWARD_UNREADABLE, Cause.SANDBOX_LOST})
"""The agent may have caused it: retried once from the start; if it happens again while the nop agent verifies cleanly on
that task, scored 0; else errored."""

WORLD = frozenset(
    {
        Cause.VERIFIER_BROKEN,
        Cause.VERIFIER_OUTAGE,
        Cause.PROVIDER_OUTAGE,
        Cause.PROVIDER_REFUSAL,
        Cause.PROVIDER_CALL,
        Cause.RECORD_PARTED,
        Cause.ENGINE_OUTAGE,
        Cause.ENGINE_FAILURE,
        Cause.IMAGE_BUILD,
        Cause.INTERNAL,
        Cause.REWARD_SCALE,
    }
)
"""Errored: retried as configured, then excluded from both arms of a comparison."""

FINAL = frozenset({Cause.REWARD_SCALE})
"""The causes among those that no retry can mend."""

OUTAGE = frozenset({Cause.PROVIDER_OUTAGE, Cause.PROVIDER_REFUSAL, Cause.ENGINE_OUTAGE, Cause.VERIFIER_OUTAGE})
"""The causes among those that say nothing of the trial and use up no retry. The study waits, then pauses."""

SAYS_NOTHING = OUTAGE | {Cause.RECORD_PARTED}
"""The causes that say nothing of the trial and use up no retry: it is simply tried again."""
