"""A study as one file: it holds what it promises, nothing sealed, nothing that runs, and stays small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.made_store import STUDY
from lorimer.dashboard import report as room
from lorimer.dashboard.prose import prose, sentence
from lorimer.errors import UserError
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import scan
from tests.cli.support import refused, typed
from tests.dashboard.conftest import Served
from tests.dashboard.test_hostile import FOREIGN, PAYLOADS, Elements, poison


def made(served: Served) -> str:
    return room.report(served.reader, served.root, STUDY).text


def test_a_report_tells_the_whole_study(served: Served) -> None:
    said, world = made(served), scan(served.reader, STUDY)
    (promoted,) = world.promoted
    assert f"{short(promoted.number)}, the champion after 8 candidates of which 1 was promoted, scores 0." in said
    assert "the seed harness scores 0." in said
    for view in world.candidates:
        assert f'id="{short(view.number)}"' in said
        assert f'href="#{short(view.number)}"' in said
    for part in ("scores", "gain", "flips", "candidates", "tasks", "evidence", "made"):
        assert f'id="{part}"' in said
    assert "What was measured</h3>" in said, "the evidence card, below the page's own headings"
    assert "by chance alone it flips in" in said
    assert served.reader.harness(world.champion_harness).text.splitlines()[-1] in said
    assert "gate.policy = " in said


def test_a_report_links_to_nothing_outside_itself_and_runs_nothing(served: Served) -> None:
    found = Elements()
    said = made(served)
    found.feed(said)
    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "action")]
    links = [value for name, value in found.attributes if name == "href"]
    assert all(link.startswith("#") for link in links)
    ids = {value for name, value in found.attributes if name == "id"}
    assert {link[1:] for link in links} <= ids, "every link leads somewhere"
    assert "url(" not in said
    assert "@import" not in said
    assert str(served.root) not in said.replace(f"harbor:{served.root}", ""), (
        "no path of this machine but the benchmark's"
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_others_wrote_becomes_part_of_a_report(served: Served, payload: str) -> None:
    poison(served, payload)
    found = Elements()
    said = made(served)
    found.feed(said)
    assert not found.tags & (FOREIGN - {"style"} | {"script"})
    assert said.count("<style") == 1
    assert [name for name, _ in found.attributes if name.startswith("on")] == []
    assert all(value.startswith("#") for name, value in found.attributes if name in ("href", "src"))
    assert payload.strip()[:12] in "".join(found.text)


def test_what_is_sealed_while_a_study_goes_on_is_sealed_in_its_report(served: Served) -> None:
    sealed = [task.id for task in served.reader.tasks(STUDY, "holdout")]
    said = made(served)
    assert "Sealed holdout: told when the study has finished" in said
    assert not [task for task in sealed if task in said]
    assert "sealed tasks are told of when the study has finished" in said
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    said = made(served)
    assert "Sealed holdout: baseline 0." in said
    assert all(task in said for task in sealed)


def test_a_report_that_would_grow_too_large_tells_fewer_candidates_in_full(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = room.report(served.reader, served.root, STUDY)
    assert (whole.in_full, whole.candidates) == (8, 8)
    monkeypatch.setattr(room, "LARGEST", whole.size - 5_000)
    cut = room.report(served.reader, served.root, STUDY)
    assert 0 < cut.in_full < 8
    assert cut.size <= whole.size - 5_000 + 1_000
    promoted = next(iter(scan(served.reader, STUDY).promoted))
    assert f'id="{short(promoted.number)}"' in cut.text, "the champions come first"
    left_out = [number for number in range(1, 9) if f'id="{short(number)}"' not in cut.text]
    assert len(left_out) == 8 - cut.in_full
    assert not [number for number in left_out if f'href="#{short(number)}"' in cut.text]
    assert "of the others this file has the line above alone" in cut.text


def test_the_command_writes_the_file_and_spares_one_that_is_there(
    served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "sent" / "report.html"
    said = typed(capsys, "report", STUDY, "-C", served.root, "-o", file)
    assert re.fullmatch(rf"wrote {re.escape(str(file))}: long, 8 of 8 candidates in full, 0\.\d MB\n", said.out)
    assert file.read_text().startswith("<!doctype html>")
    assert "exists already" in refused(capsys, 2, "report", STUDY, "-C", served.root, "-o", file)
    again = typed(capsys, "report", "-C", served.root, "-o", file, "--force", "--json").json()
    assert again["bytes"] == file.stat().st_size


def test_a_study_without_candidates_has_no_report(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "report", "check-1", "-C", served.root)
    assert said.startswith(
        "lorimer: study check-1 is a check, which tries no candidates; name one made by `lorimer opt"
    )
    with pytest.raises(UserError, match="there is no study none"):
        room.report(served.reader, served.root, "none")


def test_markdown_of_ours_becomes_no_link_picture_or_element() -> None:
    said = prose(
        "# A\n\n[x](javascript:alert(1)) ![y](http://evil.example/y.png) <http://evil.example> <b>z</b>\n\n| a |\n|---|\n| b |"
    )
    found = Elements()
    found.feed(said)
    assert found.tags == {"h2", "p", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_of_a_sentence_nothing_but_its_commands_becomes_an_element(payload: str) -> None:
    for text in (f"{payload}; `lorimer resume {payload}` goes on", f"`{payload}", payload):
        found = Elements()
        found.feed(sentence(text))
        assert found.tags <= {"code"}
    plain = "<b>6 of 6</b>; `lorimer resume demo` goes on"
    assert sentence(plain) == "&lt;b&gt;6 of 6&lt;/b&gt;; <code>lorimer resume demo</code> goes on"
    assert sentence("one ` alone") == "one ` alone"
