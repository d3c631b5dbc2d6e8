"""Writes entries of the chain, in the transaction of what they seal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from lorimer.traces import codec
from lorimer.traces.chain import BEGINNING, FINISHED, seal, trials_digest
from lorimer.traces.tables import ChainRow, Trial
from lorimer.traces.writer import table_of

_CHAIN, _TRIAL = table_of(ChainRow), table_of(Trial)


def append(connection: Connection, study: str, kind: str, subject: str, body: Mapping[str, Any], made: str) -> None:
    """Add an entry within the caller's transaction, which must hold the write lock."""
    last = connection.execute(select(_CHAIN.c.number, _CHAIN.c.hash).order_by(_CHAIN.c.number.desc()).limit(1)).first()
    number, previous = (1, BEGINNING) if last is None else (last.number + 1, last.hash)
    plain = json.loads(codec.canonical(body))  # as it will be read back
    connection.execute(
        _CHAIN.insert().values(
            number=number,
            study=study,
            kind=kind,
            subject=subject,
            body=plain,
            made=made,
            previous=previous,
            hash=seal(number, study, kind, subject, plain, made, previous),
        )
    )


def stored_trials_digest(connection: Connection, evaluation: str) -> str:
    """`trials_digest` of what is stored of an evaluation."""
    mine = (_TRIAL.c.evaluation == evaluation) & _TRIAL.c.state.in_(FINISHED)
    rows = connection.execute(select(_TRIAL.c.id, _TRIAL.c.state, _TRIAL.c.cause, _TRIAL.c.reward).where(mine))
    return trials_digest((row.id, row.state, row.cause, row.reward) for row in rows)
