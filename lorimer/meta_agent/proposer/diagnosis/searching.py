"""`search_traces`: steps of any of the champion's trials that hold some words, a snippet each."""

from __future__ import annotations

from lorimer.meta_agent.proposer.cases import Cases, one_line


def search(cases: Cases, words: str, first: int, limit: int, room: int) -> str:
    """The steps that match from the `first`, which counts from 0, in about `room` characters."""
    found = cases.recorded.find(words)
    if not found:
        return (
            f"Nothing in the traces matches {one_line(words, 100)!r}. Use few words that a trace would hold literally."
        )
    by_name = {case.name: case for case in cases.cases}
    trials = {place.case for place in found}
    failed = sum(not by_name[name].solved for name in trials)
    found = sorted(found, key=lambda place: by_name[place.case].solved)  # failed trials first, else as they were
    lines = [f"{len(found)} steps in {len(trials)} trials match, {failed} of them failed (the match is in [brackets]):"]
    page = found[first : first + limit]
    used, told = len(lines[0]), 0
    for place, snippet in zip(page, cases.recorded.snippets(words, page), strict=True):
        outcome = "solved" if by_name[place.case].solved else "failed"
        line = f"- trial {place.case} ({outcome}), step {place.index}, {place.kind.value}: {one_line(snippet, 300)}"
        if used + len(line) > room - 120:
            break
        lines.append(line)
        used += len(line) + 1
        told += 1
    left = len(found) - first - told
    if left > 0:
        lines.append(f"[{left} more: first {first + told} shows them; rarer words find fewer]")
    return "\n".join(lines)
