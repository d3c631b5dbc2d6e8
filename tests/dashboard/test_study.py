"""The list of studies, a study's page, and how a page hears that the store has changed."""

from __future__ import annotations

import re
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bench.made_store import STUDY
from lorimer.dashboard.shelf import Shelf
from lorimer.dashboard.svg import Axis, element, ticks
from lorimer.dashboard.views.history import bounds, drawn, history
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import scan
from lorimer.traces.schema import Stage
from tests.cli.support import refused
from tests.dashboard.conftest import Served


def test_all_studies_are_listed_with_their_scores(served: Served) -> None:
    said = served.page("/")
    world = scan(served.reader, STUDY)
    baseline, reported = world.reported_of(""), world.reported
    assert baseline is not None
    assert reported is not None
    assert f'<a href="/s/{STUDY}">{STUDY}</a>' in said
    assert f"{baseline.numbers['score']:.3f}" in said
    assert f"{reported.numbers['score']:.3f}" in said
    assert "1 of 8" in said


def test_a_study_tells_its_scores_decisions_and_what_it_spent(served: Served) -> None:
    said = served.page(f"/s/{STUDY}")
    spent = served.reader.spent(STUDY)
    assert f"{spent.tokens:,} tokens" in said
    for candidate in served.reader.candidates(STUDY):
        assert f'href="/s/{STUDY}/c/{candidate.number}"' in said
    assert "so the champion stays" in said
    assert "became the champion" in said
    assert "tests passed" in said, "what luck alone would do"


def test_the_history_has_a_tread_for_each_champion_and_a_point_for_each_full_run(served: Served) -> None:
    world = scan(served.reader, STUDY)
    found = history(world)
    (promoted,) = world.promoted
    assert [tread.name for tread in found.treads] == ["the seed harness", short(promoted.number)]
    assert found.treads[1].since == promoted.number
    assert {point.number for point in found.points if point.shape != "audit"} == {
        view.number for view in world.candidates if world.decided(view.id, Stage.FULL)
    }
    shapes = {point.number: point.shape for point in found.points if point.shape != "audit"}
    assert shapes[promoted.number] == "promoted"
    low, high = bounds(found)
    assert all(low <= point.score <= high for point in found.points)
    said = drawn(found, lambda number: f"/s/x/c/{number}", 800, 300, "wide")
    assert said.count("<title>") == len(found.points)
    assert 'role="group"' in said, "it holds links, which an image may not"


def test_what_passed_its_full_run_is_not_drawn_as_rejected_while_it_waits_for_more(served: Served) -> None:
    (promoted,) = scan(served.reader, STUDY).promoted
    served.change(f"UPDATE candidate SET state = 'proposed' WHERE id = '{promoted.id}'")
    shapes = {each.number: each.shape for each in history(scan(served.reader, STUDY)).points if each.shape != "audit"}
    assert shapes[promoted.number] == "passed"
    assert set(shapes.values()) == {"passed", "rejected"}
    assert "passed its full run, not decided yet" in served.page(f"/s/{STUDY}")


def test_a_run_that_was_ended_early_is_drawn_by_its_difference_on_the_same_tasks(served: Served) -> None:
    world = scan(served.reader, STUDY)
    for point in history(world).points:
        view = next(each for each in world.candidates if each.number == point.number)
        full = world.decided(view.id, Stage.FULL)
        stood = world.reported_of(world.champion_before(point.number))
        if point.shape == "audit" or full is None or stood is None:
            continue
        ahead = full.numbers["candidate_mean"] - full.numbers["champion_mean"]
        assert point.score == pytest.approx(min(1.0, max(0.0, stood.numbers["score"] + ahead)))


def test_what_was_measured_on_sealed_tasks_comes_out_at_the_end_alone(served: Served) -> None:
    sealed = "shown when the study has finished"
    assert sealed in served.page(f"/s/{STUDY}")
    served.change("UPDATE study SET state = 'finished'")
    measured = scan(served.reader, STUDY).sealed_score
    said = served.page(f"/s/{STUDY}")
    assert sealed not in said
    assert ("not run again" if measured is None else f"{measured.numbers['score']:.3f}") in said


def test_a_trial_that_runs_is_shown_but_not_on_sealed_tasks(served: Served) -> None:
    served.change("UPDATE study SET state = 'running', holder = '' WHERE id = ?", STUDY)
    full = next(trial for trial in served.reader.trials(STUDY, stage="full") if trial.state == "scored")
    sealed = next(trial for trial in served.reader.trials(STUDY, stage="holdout") if trial.state == "scored")
    served.change("UPDATE trial SET state = 'running', reward = NULL WHERE id IN (?, ?)", full.id, sealed.id)
    said = served.page(f"/s/{STUDY}?part=live")
    runs = said[said.index("Runs now") :]
    assert f">{full.task}</a>" in runs
    assert "sealed tasks" in runs
    assert sealed.task not in said


def test_what_follows_from_rows_is_made_once_and_anew_when_they_change(served: Served) -> None:
    shelf, made = Shelf(served.reader, served.root), list[str]()

    def make() -> str:
        made.append(f"{len(made)}")
        return made[-1]

    first = shelf.open(STUDY)
    assert [shelf.worked_out(STUDY, "x", shelf.open(STUDY).mark, make) for _ in range(3)] == ["0", "0", "0"]
    assert shelf.open(STUDY).world is first.world
    served.change("UPDATE spent SET calls = calls + 1 WHERE study = ?", STUDY)
    assert shelf.worked_out(STUDY, "x", shelf.open(STUDY).mark, make) == "1"
    assert shelf.open(STUDY).world is first.world, "no candidate and no decision has changed"
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    assert shelf.open(STUDY).world is not first.world


def test_a_study_whose_process_died_says_so_though_no_row_has_changed(served: Served) -> None:
    served.change("UPDATE study SET state = 'running' WHERE id = ?", STUDY)
    assert "its process ended without a word" not in served.page(f"/s/{STUDY}")
    served.change("UPDATE study SET holder = ? WHERE id = ?", f"{socket.gethostname()}:999999999:1", STUDY)
    assert "its process ended without a word" in served.page(f"/s/{STUDY}")


def test_the_live_part_is_the_page_without_its_frame(served: Served) -> None:
    whole, part = served.page(f"/s/{STUDY}"), served.page(f"/s/{STUDY}?part=live")
    assert "<html" not in part
    assert part.strip() in whole
    assert f'data-live="/s/{STUDY}?part=live"' in whole
    assert f'data-version="{Markup.escape(served.client.get(f"/s/{STUDY}").headers["etag"])}"' in whole


def test_a_page_is_told_in_a_word_that_nothing_changed_and_else_given_its_part_anew(served: Served) -> None:
    path = f"/s/{STUDY}?part=live"

    def asked(version: str) -> tuple[int, str, str]:
        answer = served.client.get(path, headers={"if-none-match": version})
        return answer.status_code, answer.headers["etag"], answer.text

    served.change("UPDATE study SET state = 'running' WHERE id = ?", STUDY)
    first = served.client.get(f"/s/{STUDY}").headers["etag"]
    served.change("UPDATE study SET holder = 'elsewhere:1:1'")
    assert asked(first) == (304, first, ""), "nothing that a page shows has changed"
    served.change("UPDATE spent SET calls = calls + 1, tokens = tokens + 5 WHERE study = ?", STUDY)
    status, second, said = asked(first)
    assert (status, second != first) == (200, True)
    assert f"{served.reader.spent(STUDY).tokens:,} tokens" in said
    assert asked(second)[0] == 304
    served.change("UPDATE study SET holder = ? WHERE id = ?", f"{socket.gethostname()}:999999999:1", STUDY)
    status, _, said = asked(second)
    assert status == 200, "a process that died changes no row that counts, and the page says it all the same"
    assert "its process ended without a word" in said


def test_every_answer_carries_the_policy_and_other_hosts_are_refused(served: Served) -> None:
    for path in ("/", f"/s/{STUDY}", "/s/none", "/nothing", "/static/style.css", "/static/live.js"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert served.client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert served.client.post("/").status_code == 405


def test_what_is_not_there_is_said_in_a_sentence(served: Served) -> None:
    assert f"there is no study none in {served.root}" in served.page("/s/none", 404)
    assert "there is no page at this address" in served.page("/nowhere", 404)


def test_a_page_has_no_style_or_script_of_its_own(served: Served) -> None:
    for path in ("/", f"/s/{STUDY}"):
        said = served.page(path)
        assert re.findall(r"<script[^>]*>", said) == ['<script src="/static/live.js" defer>']
        assert " style=" not in said
        assert "<style" not in said
        assert not re.search(r'(?:src|href)="(?:https?:)?//', said), "nothing comes from elsewhere"


def test_a_port_that_is_taken_is_one_line(
    made: Path, capsys: pytest.CaptureFixture[str], unused_port_taken: int
) -> None:
    said = refused(capsys, 2, "dashboard", "-C", made, "--port", unused_port_taken)
    problem = f"cannot listen at 127.0.0.1 port {unused_port_taken}: Address already in use"
    assert said == f"lorimer: {problem}; name another with --port or --host"


def test_a_workspace_without_a_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no lorimer.toml in" in refused(capsys, 2, "dashboard", "-C", tmp_path)


@given(st.floats(-5, 5), st.floats(0.001, 10), st.integers(2, 12))
def test_ticks_are_few_even_and_within(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert len(found) <= most
    assert all(low - 1e-6 <= value <= low + span + 1e-6 for value in found)
    gaps = {round(b - a, 9) for a, b in pairwise(found)}
    assert len(gaps) <= 1


@given(st.text())
def test_whatever_a_picture_is_given_stays_text(text: str) -> None:
    said = element("text", text, aria_label=text)
    inside = said.removeprefix("<text ").removesuffix("</text>")
    assert "<" not in inside
    assert inside.count('"') == 2, "the attribute's own"


def test_a_scale_without_a_span_is_a_place() -> None:
    assert Axis(1, 1, 10, 20)(1) == 10
    assert Axis(0, 2, 10, 20)(1) == 15
