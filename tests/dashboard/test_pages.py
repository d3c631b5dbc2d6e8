"""Edits by tasks, two trials side by side, candidates, tasks and traces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bench.made_store import STUDY, Size, make
from lorimer.dashboard.app import application
from lorimer.dashboard.paths import last_page
from lorimer.dashboard.shelf import Opened, Shelf
from lorimer.dashboard.views import flipping, matrix, trajectory
from lorimer.dashboard.views.beside import pairing
from lorimer.dashboard.views.compared import again, rows, with_full_run
from lorimer.dashboard.views.diffs import side_by_side, size
from lorimer.errors import UserError
from lorimer.harness.changed import parsed
from lorimer.harness.version import Hunk, sha
from lorimer.harness.watched import watched
from lorimer.meta_agent.reports.flips import flips
from lorimer.meta_agent.state.changes import arms
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.trials import rewards
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import DecisionRow, Evaluation, Trial
from tests.dashboard.conftest import Served


def opened(served: Served) -> Opened:
    return Shelf(served.reader, served.root).open(STUDY)


def test_a_row_has_the_flips_that_the_gates_own_trials_have(served: Served) -> None:
    study = opened(served)
    found = rows(served.reader, study, with_full_run(study))
    assert [row.number for row in found] == sorted((row.number for row in found), reverse=True)
    for row in found:
        candidate = study.candidate(row.number)
        mine, theirs, runs = arms(served.reader, study.world, [candidate])
        read = rewards(served.reader, runs, study.retries)
        before: dict[str, list[float]] = {}
        for name in theirs[row.number]:
            for task, each in read[name].items():
                before.setdefault(task, []).extend(each)
        told = flips(before, read[mine[row.number]], study.world.train)
        assert row.flips == told
        assert row.flipped == sum(cell.flip != "" for cell in row.cells.values())
        assert sum(cell.chance for cell in row.cells.values()) == pytest.approx(told.expected)
        for cell in row.cells.values():
            assert cell.before.trials == len(before[cell.task])
            assert cell.after.low <= cell.after.mean <= cell.after.high


def test_the_page_says_of_an_edit_how_many_flips_chance_and_its_firing_explain(served: Served) -> None:
    (promoted,) = opened(served).world.promoted
    row = next(each for each in rows(served.reader, opened(served), [opened(served).candidate(promoted.number)]))
    assert row.flipped
    assert row.sentence.endswith("whether the edit fired is not known")
    flipped = next(cell.task for cell in row.cells.values() if cell.flip)
    ran = _edited(served, promoted.id)
    served.change("DELETE FROM effect")  # which follow from trials as they were
    for trial in served.reader.trials(evaluation=f"{promoted.id}/full", limit=None):
        lines, led_to = (str(ran), [[ran, ran, 1]]) if trial.task == flipped else ("1-1", [])
        row_of = "INSERT INTO lines (trial, ran, whole, led_to) VALUES (?, ?, 1, ?)"
        served.change(row_of, trial.id, lines, json.dumps(led_to))
    said = served.page(f"/s/{STUDY}/flips?of={promoted.number}&hunks=1")
    told = next(each for each in rows(served.reader, opened(served), [opened(served).candidate(promoted.number)]))
    flips_said = "1 flip" if row.flipped == 1 else f"{row.flipped} flips"
    assert told.sentence == f"{flips_said}, {row.flips.expected:.1f} expected by chance, 1 where the edit fired"
    assert f"{told.sentence}</b>" in said
    assert told.cells[flipped].fired == told.cells[flipped].told > 0
    assert 'class="fired"' in said
    assert 'class="unfired"' in said
    assert 'aria-expanded="true"' in said
    assert "gain over the seed is made of" in said
    both = served.page(f"/s/{STUDY}/beside?of={promoted.number}&task={flipped}")
    assert "<b>hunk 1 fired, first before step 1</b>" in both
    assert both.count(">hunk 1 acts</span>") == both.count('id="acted"') == 1
    (trial, *_) = served.reader.trials(evaluation=f"{promoted.id}/full", task=flipped, limit=None)
    whole = served.page(f"/s/{STUDY}/trace?of={trial.id}")
    assert whole.count(">hunk 1 acts</span>") == 1
    assert whole.index('id="step-1"') < whole.index(">hunk 1 acts</span>") < whole.index('id="step-2"')


def _edited(served: Served, candidate: str) -> int:
    """Give a candidate an edit that can be seen to run, in place of the made one, which adds a remark; a line that it changed."""
    row = served.reader.candidate(candidate)
    assert row is not None
    parent = served.reader.harness(row.parent).text
    for line in parent.splitlines():
        if not line.startswith("    ") or parent.count(line) > 1:
            continue
        hunk = Hunk(line, f"{line}  # changed" if "#" in line else line.replace(" = ", " = 1 and "))
        text = parent.replace(line, hunk.replace)
        if text == parent or parsed(text) is None:
            continue
        (seen,) = watched(parent, [hunk], text)
        if seen.unknown or 1 in seen.lines:
            continue
        served.change("INSERT INTO harness (sha, text) VALUES (?, ?)", sha(text), text)
        edit = json.dumps([{"search": hunk.search, "replace": hunk.replace}])
        served.change("UPDATE candidate SET edit = ?, harness = ? WHERE id = ?", edit, sha(text), candidate)
        served.change("UPDATE trial SET harness = ? WHERE evaluation = ?", sha(text), f"{candidate}/full")
        return min(seen.lines)
    raise AssertionError("no line of the harness can be watched")


def test_a_champion_that_was_run_at_two_times_stands_against_itself(tmp_path: Path) -> None:
    root = tmp_path / "longer"
    make(root, Size(candidates=16, tasks=12, turns=2), seed=4)  # long enough for a champion to be run anew
    reader = StoreReader(root / STORE)
    with TestClient(application(reader, root, ["testserver"])) as client:
        served = Served(root, client, reader)
        found = again(reader, opened(served))
        assert found
        for each in found:
            assert each.flips.tasks
        assert f"{found[0].name} against itself" in served.page(f"/s/{STUDY}/flips")


def test_more_edits_are_on_further_pages(served: Served) -> None:
    known = with_full_run(opened(served))
    page = flipping.flipping(served.reader, opened(served), len(known) - 1, None, False)
    champion = opened(served).world.champion
    assert champion is not None
    assert {row.number for row in page.rows} == {known[-1].number, champion.number}
    assert page.focus is not None
    assert page.focus.number == champion.number


@pytest.mark.parametrize(
    "page", ["candidates", "tasks", "flips", f"trials?of={quote(f'{STUDY}/baseline/baseline', safe='')}"]
)
def test_an_address_past_the_end_of_a_list_shows_its_last_page(served: Served, page: str) -> None:
    path = f"/s/{STUDY}/{page}"
    last = served.page(path)  # the only one there is
    assert served.page(f"{path}{'&' if '?' in path else '?'}first=5000") == last


@given(st.integers(0, 400), st.integers(0, 300), st.integers(1, 60))
def test_the_last_page_begins_where_paging_would(first: int, total: int, step: int) -> None:
    found = last_page(first, total, step)
    assert found == first if first < total else found in range(0, max(1, total), step)
    assert found < max(1, total)
    assert first < total or found + step >= total


def test_an_edit_that_has_no_row_among_the_others_is_said(served: Served) -> None:
    assert f"study {STUDY} has no candidate 99999" in served.page(f"/s/{STUDY}/flips?of=99999", 404)
    missing = with_full_run(opened(served))[0]
    for row in served.reader.sql(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'decision'"
    ).rows:
        served.change(f'DROP TRIGGER "{row[0]}"')  # which keep decisions as they are
    served.change("DELETE FROM decision WHERE subject = ? AND stage = 'full'", missing.id)
    said = served.page(f"/s/{STUDY}/flips?of={missing.number}")
    assert f"The full run of {short(missing.number)} is not decided, so it has no row here." in said
    assert "so it has no row here" not in served.page(f"/s/{STUDY}/flips?of={with_full_run(opened(served))[-1].number}")


def test_a_cell_opens_a_failed_and_a_solved_trial_where_they_part(served: Served) -> None:
    study = opened(served)
    row = rows(served.reader, study, with_full_run(study))[0]
    cell = next(each for each in row.cells.values() if each.before.mean != each.after.mean)
    found = pairing(served.reader, study, row.number, cell.task)
    assert (found.left.outcome, found.right.outcome) == ("failed", "solved")
    assert {found.left.whose, found.right.whose} == {"champion", "candidate"}
    for side, lane in enumerate((found.left, found.right)):
        indices = [each[side].index for each in found.rows if (each[side]) is not None]  # type: ignore[union-attr]
        stored = [step.index for step in served.reader.steps(lane.trial.id) if step.kind != "verdict"]
        assert indices == stored[: len(indices)], "every step once, in order"
    said = served.page(f"/s/{STUDY}/beside?of={row.number}&task={cell.task}")
    assert said.count("data-open-at") == (found.parts is not None)
    other = found.others[0][-1]
    assert pairing(served.reader, study, row.number, cell.task, before=other.id).others == found.others
    assert f"before={quote(other.id, safe='')}" in said


def test_what_cannot_be_laid_side_by_side_is_said(served: Served) -> None:
    study = opened(served)
    number = with_full_run(study)[0].number
    assert "has no scored trial of the champion" in served.page(f"/s/{STUDY}/beside?of={number}&task=none", 404)
    assert "has no candidate 99" in served.page(f"/s/{STUDY}/beside?of=99&task=none", 404)
    assert "is to be a whole number" in served.page(f"/s/{STUDY}/beside?of=-1", 404)
    sealed = study.world.holdout[0]
    assert "sealed while the study goes on" in served.page(f"/s/{STUDY}/beside?of={number}&task={sealed}", 404)


def test_the_table_of_candidates_has_what_was_decided_and_what_it_cost(served: Served) -> None:
    said = served.page(f"/s/{STUDY}/candidates")
    for candidate in served.reader.candidates(STUDY):
        removed, added = size(candidate.edit)
        assert f'href="/s/{STUDY}/c/{candidate.number}"' in said
        assert f"+{added}</span>" in said
        assert f"\N{MINUS SIGN}{removed}</span>" in said
    assert "by hand" not in said


def test_a_candidates_page_lays_predictions_beside_outcomes(served: Served) -> None:
    study = opened(served)
    row = with_full_run(study)[0]
    said = served.page(f"/s/{STUDY}/c/{row.number}")
    predicted = re.findall(
        r'<th scope="row">(?:<a[^>]*>)?([^<]+)(?:</a>)?</th><td>(should be fixed|at risk)</td>', said
    )
    assert {task for task, _ in predicted} == set(row.fixes) | set(row.at_risk)
    compared = rows(served.reader, study, [row])[0]
    for task, cell in compared.cells.items():
        if cell.after.mean < cell.before.mean:
            assert re.search(rf'>{task}</a></th><td>[^<]*</td><td class="came worse">', said)
    assert 'class="diff"' in said
    assert "Predictions against outcomes" in said


def more_trials(served: Served, evaluation: str, many: int, reward: float | None, into: str = "") -> None:
    """Copies of a trial of an evaluation, of repeats of their own, in the same evaluation or in another one."""
    (like,) = served.reader.trials(evaluation=evaluation, state="scored", limit=1)
    own = ("id", "planned", "repeat", "state", "reward", "evaluation")
    kept = ", ".join(f'"{name}"' for name in Trial.model_fields if name not in own)
    state = "errored" if reward is None else "scored"
    served.change(
        "WITH RECURSIVE each(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM each WHERE n < ?) "
        f"INSERT INTO trial (id, planned, repeat, state, reward, evaluation, {kept}) "
        f"SELECT id || ? || n, planned || ? || n, repeat + 1000 + n, ?, ?, ?, {kept} FROM trial, each WHERE id = ?",
        many, state + into, state + into, state, reward, into or evaluation, like.id,
    )  # fmt: skip


def final(served: Served, evaluation: str) -> str:
    """Give a champion the trials of a study's end, made of its audit; their evaluation."""
    name = f"{evaluation}-final-00009"
    for table, model in (("evaluation", Evaluation), ("decision", DecisionRow)):
        kept = ", ".join(f'"{field}"' for field in model.model_fields if field not in ("id", "purpose", "met"))
        served.change(
            f"INSERT INTO {table} (id, purpose, met, {kept}) SELECT ?, 'final', 9, {kept} FROM {table} WHERE id = ?",
            name, evaluation,
        )  # fmt: skip
    more_trials(served, evaluation, 3, 1.0, into=name)
    return name


def test_what_came_out_is_counted_over_all_trials_though_some_are_not_listed(served: Served) -> None:
    full = opened(served).world.full_runs[-1]
    more_trials(served, full.id, 450, 1.0)
    more_trials(served, full.id, 5, None)
    anew = served.reader.trials(evaluation=full.id, state="errored")[0].planned
    served.change(
        "UPDATE trial SET planned = ?, repeat = (SELECT repeat FROM trial WHERE planned = ?), attempt = 7 WHERE planned = ?",
        done := served.reader.trials(evaluation=full.id, state="scored")[0].planned, done, anew,
    )  # fmt: skip
    found = served.reader.trials(evaluation=full.id, limit=None)
    scored = [trial for trial in found if trial.reward is not None]
    solved = sum(trial.reward == 1 for trial in scored)
    page = f"/s/{STUDY}/c/{opened(served).world.candidate(full.subject).number}"  # type: ignore[union-attr]
    said = served.page(page)
    assert (
        f"{solved} of {len(scored)} solved; 4 more errored, which no score counts; 1 attempt was cancelled or tried anew"
        in said
    )
    assert f"{len(found) - 400} more are not listed here: all {len(found)} trials" in said
    further = f"/s/{STUDY}/trials?of={quote(full.id, safe='')}"
    assert f'href="{further}"' in said
    whole = served.page(further)
    assert whole.count('class="trial ') == len(found)
    assert page in whole
    assert f"{solved} of {len(scored)} solved" in whole


def test_of_a_full_run_it_is_said_which_trials_decided_it_where_others_came_in(served: Served) -> None:
    """A decision is that of the shortest beginning of the plan that settles it. What was under way then is listed too."""
    full = opened(served).world.full_runs[-1]
    pages = (
        f"/s/{STUDY}/trials?of={quote(full.id, safe='')}",
        f"/s/{STUDY}/c/{opened(served).world.candidate(full.subject).number}",  # type: ignore[union-attr]
    )
    assert all("of the plan decided" not in served.page(page) for page in pages)
    more_trials(served, full.id, 3, 1.0)
    said = f" solved; the first {full.numbers['run']} of the plan decided, and the others came in beside them"
    assert all(said in served.page(page) for page in pages)


def test_the_trials_behind_the_scores_of_a_study_are_found_from_them(finished: Served) -> None:
    champion = opened(finished).world.champion
    assert champion is not None
    last = final(finished, f"{champion.id}/audit")
    assert opened(finished).world.reported_by(champion.id) == (last,)
    said = finished.page(f"/s/{STUDY}")
    assert f'href="/s/{STUDY}/c/{champion.number}#trials"' in said
    assert f'href="/s/{STUDY}/seed#trials"' in said
    theirs = finished.page(f"/s/{STUDY}/c/{champion.number}")
    assert theirs.count("<h2>Trials: ") == 5
    _, section = theirs.split("<h2>Trials: audit, at the end of the study, in trials that decided nothing</h2>")
    assert section.startswith(
        '\n<p>3 of 3 solved <span class="tag acted">the score that is told is that of these trials'
    )
    assert f'href="/s/{STUDY}/trials?of={quote(last, safe="")}">All 3 trials</a>' in section
    assert theirs.count("the score that is told") == 1
    seed = finished.page(f"/s/{STUDY}/seed")
    assert "<h2>Trials: baseline</h2>" in seed
    added = [row for row in finished.reader.evaluations(STUDY, "") if row.purpose == "added"]
    assert added
    for each in added:
        assert f"<h2>Trials: audit, one more trial of each task as it met {short(each.met or 0)}</h2>" in seed
    assert f"<h2>Trials: holdout, as champion side by side with {short(champion.number)}</h2>" in seed
    trial = finished.reader.trials(evaluation=f"{STUDY}/baseline/baseline", limit=1)[0]
    assert f"trace?of={quote(trial.id, safe='')}" in seed
    assert f'href="/s/{STUDY}/seed"' in finished.page(f"/s/{STUDY}/trace?of={quote(trial.id, safe='')}")


def test_an_evaluation_that_is_not_there_is_said(served: Served) -> None:
    assert f"study {STUDY} has no evaluation none" in served.page(f"/s/{STUDY}/trials?of=none", 404)


def test_a_tasks_page_says_how_many_trials_it_does_not_list(served: Served) -> None:
    trial = served.reader.trials(STUDY, stage="full", limit=1)[0]
    more_trials(served, trial.evaluation, 250, 1.0)
    (task,) = {each.task for each in served.reader.trials(evaluation=trial.evaluation, limit=250)}
    many = len(served.reader.trials(STUDY, task=task, limit=None))
    said = served.page(f"/s/{STUDY}/task?task={quote(task)}")
    assert f"The newest 200 of {many}." in said
    assert f"lorimer traces ls --study {STUDY} --task {task} --limit {many}" in said


def test_sealed_trials_are_neither_listed_nor_opened_until_the_study_has_finished(served: Served) -> None:
    sealed = next(trial for trial in served.reader.trials(STUDY, stage="holdout") if trial.state == "scored")
    trace, task = f"/s/{STUDY}/trace?of={quote(sealed.id, safe='')}", f"/s/{STUDY}/task?task={quote(sealed.task)}"
    (promoted,) = opened(served).world.promoted
    assert "sealed while the study goes on" in served.page(trace, 404)
    assert "sealed while the study goes on" in served.page(task, 404)
    candidate, tasks = f"/s/{STUDY}/c/{promoted.number}", f"/s/{STUDY}/tasks"
    trials = f"/s/{STUDY}/trials?of={quote(sealed.evaluation, safe='')}"
    for path in (candidate, tasks, trials, f"/s/{STUDY}/seed", f"/s/{STUDY}/flips", f"/s/{STUDY}"):
        said = served.page(path)
        assert not [name for name in opened(served).world.holdout if name in said], path
    assert "are shown when the study has finished" in served.page(candidate)
    served.change("UPDATE study SET state = 'finished'")
    assert sealed.task in served.page(trace)
    assert sealed.task in served.page(task)
    assert sealed.task in served.page(tasks)
    assert sealed.task in served.page(trials)


def test_the_matrix_has_five_looks(served: Served) -> None:
    study = opened(served)
    found = matrix.matrix(served.reader, study, 0)
    assert [number for number, _, _ in found.candidates] == [row.number for row in reversed(study.candidates)]
    rates = [line.rate for line in found.lines if line.rate is not None]
    assert rates == sorted(rates), "the worst first"
    full = study.world.decided(study.candidates[-1].id, Stage.FULL)
    assert full is not None
    trials = served.reader.trials(evaluation=full.id, limit=None)
    errored, replayed = trials[0].task, next(trial.task for trial in trials if trial.task != trials[0].task)
    served.change(
        "UPDATE trial SET state = 'errored', reward = NULL WHERE evaluation = ? AND task = ?", full.id, errored
    )
    served.change(
        "UPDATE trial SET recorded_trial = 'x', ran_whole = '' WHERE evaluation = ? AND task = ?", full.id, replayed
    )
    after = {line.task: line.spots[0] for line in matrix.matrix(served.reader, study, 0).lines}
    assert after[errored].look == "errored"
    assert after[errored].said.startswith("errored in")
    assert after[replayed].replayed
    assert "replayed up to the edit" in after[replayed].said
    looks = {spot.look for line in found.lines for spot in line.spots}
    assert {"solved", "failed"} <= looks
    said = served.page(f"/s/{STUDY}/tasks")
    for look in ("solved", "failed", "errored", "none"):
        assert f'class="spot {look}"' in said


def test_a_trace_is_read_page_by_page_with_a_link_for_every_step(served: Served) -> None:
    longest = max(served.reader.trials(STUDY, stage="full"), key=lambda trial: served.reader.step_count(trial.id))
    path = f"/s/{STUDY}/trace?of={quote(longest.id, safe='')}"
    said, steps = served.page(path), served.reader.steps(longest.id)
    assert [int(each) for each in re.findall(r'id="step-(\d+)"', said)] == [step.index for step in steps][:40]
    assert "What the verifier said" in said or not longest.verifier_output
    many = served.reader.step_count(longest.id)
    for index in range(many, 95):
        served.change(
            'INSERT INTO step (owner, "index", kind, at, seconds, data, found) VALUES (?, ?, ?, 1.0, 0.1, ?, ?)',
            longest.id, index, "note", '{"text": "a note"}', "a note",
        )  # fmt: skip
    page = trajectory.trajectory(served.reader, opened(served), longest.id, 57)
    assert (page.first, [each.index for each in page.moments]) == (40, list(range(40, 80)))
    assert page.pages == ((0, 39), (40, 79), (80, 94))
    assert f"{path.partition('?')[0]}" in served.page(f"{path}&at=57")


def test_what_the_model_said_stands_once(served: Served) -> None:
    trial = served.reader.trials(STUDY, stage="full", limit=1)[0]
    page = trajectory.trajectory(served.reader, opened(served), trial.id, 0)
    replies = [each.reply for each in page.moments if each.reply is not None]
    assert replies
    heard = [said for each in page.moments for said in each.heard]
    assert not [said for said in heard if said in replies]


def test_a_trace_of_another_study_is_refused(served: Served) -> None:
    other = next(row.id for row in served.reader.studies() if row.id != STUDY)
    trial = served.reader.trials(STUDY, stage="full", limit=1)[0]
    with pytest.raises(UserError, match="is not of study"):
        trajectory.trajectory(served.reader, Shelf(served.reader, served.root).open(other), trial.id, 0)
    assert "there is no trial none" in served.page(f"/s/{STUDY}/trace?of=none", 404)
    assert f"study {STUDY} has no task none" in served.page(f"/s/{STUDY}/task?task=none", 404)
    assert f"study {STUDY} has no task (empty)" in served.page(f"/s/{STUDY}/task?task=", 404)


def test_a_proposal_session_is_read_like_a_trial(served: Served) -> None:
    with_session = next((row for row in served.reader.candidates(STUDY) if served.reader.step_count(row.id)), None)
    if with_session is None:
        served.change(
            'INSERT INTO step (owner, "index", kind, at, seconds, data, found) VALUES (?, 0, ?, 0.0, 0.1, ?, ?)',
            f"{STUDY}/c001", "note", '{"text": "looked at failures"}', "looked at failures",
        )  # fmt: skip
    said = served.page(f"/s/{STUDY}/trace?of={STUDY}/c001")
    assert "How c001 was proposed" in said
    assert 'id="step-0"' in said


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "  d"]), max_size=25)


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_back_from_a_diff(before: list[str], after: list[str]) -> None:
    found = side_by_side("\n".join(before), "\n".join(after))
    left = {row.left: row.before for row in found if row.left is not None}
    right = {row.right: row.after for row in found if row.right is not None}
    a, b = "\n".join(before).splitlines(), "\n".join(after).splitlines()
    assert all(a[number - 1] == text for number, text in left.items())
    assert all(b[number - 1] == text for number, text in right.items())
    assert bool(found) == (a != b)
    shown = sum(row.left is not None for row in found)
    skipped = sum(row.skipped for row in found)
    assert not found or shown + skipped == len(a)


def test_the_size_of_an_edit_counts_changed_lines_alone() -> None:
    assert size([{"search": "a\nb\nc", "replace": "a\nB\nc\nd"}]) == (1, 2)
    assert size([]) == (0, 0)
