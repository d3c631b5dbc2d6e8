"""Figures of a study. Each is made without `pyplot`, so that nothing is drawn or kept but what the caller does with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from lorimer.errors import PrerequisiteError
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.reports.flips import Flips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lorimer.python.study import CandidateRow

SEED, BETTER, WORSE, PLAIN = "#777777", "#1b7f4b", "#b3261e", "#4a6fa5"
"""Told apart in print and by people who do not tell red from green: they also differ in lightness and in their markers."""


def scores(study: str, candidates: Sequence[CandidateRow], champions: Sequence[tuple[str, Score | None]]) -> Figure:
    """Full runs of candidates beside their champions', and champions with intervals."""
    figure = _figure(max(6.0, 1.5 + 0.5 * (len(candidates) + len(champions))), 4.0)
    axes = figure.add_subplot()
    ran = [each for each in candidates if each.score is not None]
    places = {each.candidate: place for place, each in enumerate(ran, 1)}
    for each in ran:
        assert each.score is not None
        promoted = each.state == "promoted"
        place, colour = places[each.candidate], BETTER if promoted else PLAIN
        if each.champion_score is not None:
            axes.plot([place, place], [each.champion_score, each.score], color=colour, linewidth=1)
            axes.plot(place, each.champion_score, "_", color=SEED, markersize=12)
        axes.plot(place, each.score, "^" if promoted else "o", color=colour)
    for name, score in champions:
        if score is not None and not math.isnan(score.mean):
            place = places.get(name, 0)
            axes.errorbar(
                place + 0.2,
                score.mean,
                [[score.mean - score.low], [score.high - score.mean]],
                fmt="s",
                color="black",
                capsize=3,
            )
    axes.set_xticks([0, *places.values()], ["seed", *places], rotation=45, ha="right")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("mean reward, train tasks")
    said = "full runs (dash: the champion then; triangle: promoted)\nsquares: champions, 95% interval"
    axes.set_title(f"{study}: {said}", fontsize=9)
    axes.set_xlim(-0.5, len(ran) + 0.5)
    return figure


def tasks(found: Flips, before: str, after: str) -> Figure:
    """Each task's mean reward under two harnesses."""
    figure = _figure(7.0, max(2.5, 1.2 + 0.22 * len(found.tasks)))
    axes = figure.add_subplot()
    for place, task in enumerate(found.tasks):
        colour = {"fixed": BETTER, "broke": WORSE}.get(task.flip, PLAIN)
        axes.plot([task.before, task.after], [place, place], color=colour, linewidth=2 if task.flip else 1)
        axes.plot(task.before, place, "o", color=colour, markerfacecolor="white")
        axes.plot(task.after, place, "o", color=colour)
    axes.set_yticks(range(len(found.tasks)), [task.task for task in found.tasks], fontsize=8)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel(f"mean reward (hollow: {before}, filled: {after})")
    axes.set_title(str(found), fontsize=9)
    axes.invert_yaxis()
    return figure


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that a notebook shows by itself. Raises PrerequisiteError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PrerequisiteError("plots need the package matplotlib", "pip install 'lorimer[plots]'") from None

    class Shown(Figure):
        """A figure with the method by which a notebook asks for a picture."""

        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", dpi=110)
            return file.getvalue()

    return Shown(figsize=(width, height), layout="constrained")
