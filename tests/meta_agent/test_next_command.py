"""What comes next is a pure function of what is stored: played through on worlds alone, with any outcome of every stage."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.settings import Config, parse
from lorimer.meta_agent.gate.ranking import p_of
from lorimer.meta_agent.state.commands import (
    Apply,
    Command,
    Evaluate,
    FinishStudy,
    Promote,
    Propose,
    Rebase,
    next_command,
)
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, candidate_id, evaluation_id
from lorimer.meta_agent.state.world import World
from lorimer.traces.schema import Stage
from lorimer.traces.tables import DecisionRow

SEED = "a" * 64
MOST = 400
"""Commands of a study of at most 9 proposals, many times over."""


class Play:
    """Executes commands on a world as the loop does on a store, with drawn outcomes."""

    def __init__(self, draw: st.DrawFn, config: Config) -> None:
        self._draw, self._config = draw, config
        self.world = World("s", 1, SEED, ("t1",), ("t2",))
        self.stored: list[CandidateView | DecisionRow] = []

    def keep(self, *rows: CandidateView | DecisionRow) -> None:
        for row in rows:
            self.stored.append(row)
            views, decisions = ([row], []) if isinstance(row, CandidateView) else ([], [row])
            self.world = self.world.with_all(views, decisions)

    def do(self, command: Command) -> None:
        match command:
            case Propose(number, most) if self.world.round is None:
                count = self._draw(st.integers(1, most))
                first = number if count > 1 else None
                self.keep(*(self._row(n, "proposing", round=first) for n in range(number, number + count)))
            case Propose(number):
                mine = self.world.candidate(candidate_id("s", number))
                assert mine is not None
                state = self._draw(st.sampled_from(["proposed", "proposed", "failed"]))
                self.keep(replace(mine, state=state, harness=f"{number:064}" if state == "proposed" else None))
            case Apply(candidate):
                ends = self._draw(st.booleans()) and self._draw(st.booleans())
                state = "failed" if ends else "proposed"
                self.keep(
                    replace(
                        candidate, state=state, parent=self.world.champion_harness, harness=f"{candidate.number:064}"
                    )
                )
            case Rebase(_, candidates):
                first = self.world.next_number
                for number, each in enumerate(candidates, first):
                    again = replace(each, id=candidate_id("s", number), number=number, rebased=each.number)
                    self.keep(
                        replace(again, round=first if len(candidates) > 1 else None), replace(each, state="rebased")
                    )
            case Promote(candidate):
                self.keep(replace(candidate, state="promoted"))
            case Evaluate(stage, candidate, others):
                for subject in (candidate.id if candidate else "", *(each.id for each in others)):
                    self.keep(self._decision(About(subject, stage)))
            case _:
                raise AssertionError(command)

    def _row(self, number: int, state: str, round: int | None) -> CandidateView:
        return CandidateView(candidate_id("s", number), number, state, self.world.champion_harness, None, round=round)

    def _decision(self, about: About) -> DecisionRow:
        passes = not about.subject or self._draw(st.sampled_from([True, True, False]))
        kind = ("promote" if about.stage is Stage.FULL else "pass") if passes else "reject"
        numbers = {"p": self._draw(st.sampled_from([0.01, 0.02, 0.02, 0.05])), "score": 0.5}
        return DecisionRow(
            id=evaluation_id("s", about), study="s", subject=about.subject, stage=about.stage.value, purpose=about.purpose.value,
            met=about.met, kind=kind, reason="", numbers=numbers, policy={"name": "paired"}, made="now",
        )  # fmt: skip


@given(st.data())
def test_rounds_follow_one_another_and_each_meets_one_champion(data: st.DataObject) -> None:
    width, limit = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    config = parse({"search": {"width": width}, "budget": {"candidates": limit}, "gate": {"policy": "paired"}})
    play = data.draw(st.composite(lambda draw: Play(draw, config))())
    met: dict[int, set[str]] = {}
    for _ in range(MOST):
        before, command = play.world, next_command(play.world, config)
        if isinstance(command, FinishStudy):
            break
        found = before.round
        match command:
            case Evaluate(stage, candidate, others) if candidate is not None and found is not None:
                assert {candidate, *others} <= set(found.under_way), "no other round has begun"
                assert all(each.state == "proposed" for each in found.under_way), (
                    "all were proposed before any is evaluated"
                )
                for each in (candidate, *others):
                    met.setdefault(each.first, set()).add(before.champion_id)
                    assert each.parent == before.champion_harness
                if stage is Stage.AUDIT:
                    p = {e.number: p_of(before.decisions[About(e.id, Stage.FULL)].numbers) for e in found.under_way}
                    assert candidate.number == min(p, key=lambda number: (p[number], number))
            case Rebase(champion, candidates):
                assert champion.id == before.champion_id
                assert all(before.decisions[About(e.id, Stage.FULL)].kind == "promote" for e in candidates)
        play.do(command)
        # A process that was killed here finds the same world, and goes on with the same command.
        views = {row.id: row for row in play.stored if isinstance(row, CandidateView)}
        again = World("s", 1, SEED, ("t1",), ("t2",)).with_all(
            views.values(), [row for row in play.stored if isinstance(row, DecisionRow)]
        )
        assert next_command(again, config) == next_command(play.world, config)
    else:
        raise AssertionError("it does not end")
    assert all(len(champions) == 1 for champions in met.values())
    for number, champions in met.items():
        assert champions == {play.world.champion_before(number)}
    assert play.world.proposals <= limit
    assert all(each.state not in ("proposing", "proposed") for each in play.world.candidates)
    assert (
        sum(each.state == "rebased" for each in play.world.candidates)
        == len(play.world.candidates) - play.world.proposals
    )
