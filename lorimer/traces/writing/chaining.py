"""Writes entries of the chain, each in the transaction of what it seals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from lorimer.traces import codec
from lorimer.traces.chain import BEGINNING, seal
from lorimer.traces.tables import ChainRow
from lorimer.traces.writing.writer import table_of

_CHAIN = table_of(ChainRow)


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
