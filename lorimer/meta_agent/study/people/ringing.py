"""When the user's command is told of a study ([notify]), and that it is told nothing twice.

That something was told is stored before the command runs, so nothing is told twice; after a kill in between, nobody is told. A
pause is told each time, as another process stopped each time.
"""

from __future__ import annotations

import asyncio
import hashlib

from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.result import result
from lorimer.meta_agent.workspace.events import StudyEnded
from lorimer.meta_agent.workspace.notify import Notice, NoticeSubject
from lorimer.meta_agent.workspace.parts import StudyParts, now


async def promoted(parts: StudyParts, study: str, candidate: CandidateView, commit: str, score: Score) -> None:
    """Tell of a promotion."""
    said = f"{short(candidate.number)} is the champion of {study}, {score} in its audit: {candidate.title}"
    notice = Notice("promotion", said, "", short(candidate.number), candidate.title, commit, score)
    await _ring(parts, study, notice, f"{candidate.id}/promotion")


async def ended(parts: StudyParts, how: StudyEnded, waits: CandidateView | None) -> None:
    """Tell of a pause, of an end, or of a candidate that waits for a review."""
    if parts.ring is None:
        return
    study = how.study
    if waits is not None:
        title = waits.title
        await _ring(
            parts,
            study,
            Notice("review", how.reason, how.cause, short(waits.number), title),
            f"{waits.id}/review",
        )
    elif how.state == "finished":
        # A study that is resumed after its end, and finds nothing to do, ends as it did.
        mark = await asyncio.to_thread(parts.reader.mark, study)
        what = repr((mark.candidates, mark.decisions, how.reason)).encode()
        found = await asyncio.to_thread(result, parts.reader, study)
        notice = Notice("end", how.reason, how.cause, score=found.final)
        await _ring(parts, study, notice, f"{study}/end/{hashlib.sha256(what).hexdigest()[:16]}")
    else:
        await _ring(parts, study, Notice("pause", how.reason, how.cause))


async def _ring(parts: StudyParts, study: str, notice: Notice, once: str = "") -> None:
    """Tell the command, unless what is named `once` was told before."""
    if parts.ring is None or (once and not await parts.store.first_told(study, once)):
        return
    row = parts.reader.study(study)
    spent = await asyncio.to_thread(parts.reader.spent, study)
    parts.ring(notice, NoticeSubject(study, row.kind, now(), spent))
