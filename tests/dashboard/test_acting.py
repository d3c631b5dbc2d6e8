"""Acting from a page: what its command does, with the token alone, and from a page of this server alone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

from lorimer.dashboard.app import application
from lorimer.meta_agent.reports import audit
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.holder import this_process
from tests.cli.conftest import bubblewrap, works
from tests.dashboard.browser import chromium, in_chromium, serving, shoot
from tests.dashboard.test_hostile import PAYLOADS, Elements
from tests.meta_agent.test_hand import GOOD_THEN_NULL, bench, held, on_disk, settings, studied, world
from tests.meta_agent.test_loop import Bench

__all__ = ["bench", "bubblewrap", "chromium", "works"]

TOKEN = "the-token-of-this-start"
PATH = "/s/demo/act"
OURS = {"origin": "http://testserver", "content-type": "application/x-www-form-urlencoded"}
APPROVE = {"do": "approve", "candidate": "c001", "why": "reads well", "by": "Ada", "token": TOKEN}


@dataclass(frozen=True)
class Waiting:
    """A study whose candidate waits for a review, and its dashboard."""

    bench: Bench
    client: TestClient

    def post(self, fields: dict[str, str], status: int, **headers: str) -> str:
        answer = self.client.post(PATH, content=urlencode(fields), headers=OURS | headers)
        text: str = answer.text
        assert answer.status_code == status, text
        return text

    @property
    def decided(self) -> list[str]:
        return [row.reason for row in self.bench.reader().decisions("demo") if row.stage == "review"]


def elements(page: str) -> set[str]:
    """The kinds of elements of a page."""
    found = Elements()
    found.feed(page)
    return found.tags


def gone_on(bench: Bench) -> str:
    """Begin the study, or go on with it; its state. In a thread of its own, as a browser's loop runs in a test's."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(studied, bench, GOOD_THEN_NULL, held()).result().state


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it leaves the workspace of a study whose candidate waits for a review."""
    return tmp_path_factory.mktemp("paused") / "work"


@pytest.fixture
def waiting(paused: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Waiting]:
    """A copy of its own."""
    if not paused.exists():
        made: Bench = request.getfixturevalue("bench")
        assert gone_on(made) == "paused"
        made.root.rename(paused)
    bench = Bench(tmp_path / "work", STORE)
    shutil.copytree(paused, bench.root, symlinks=True)
    reader = StoreReader(bench.root / STORE)
    with TestClient(application(reader, bench.root, ["testserver"], TOKEN)) as client:
        yield Waiting(bench, client)


def test_without_the_token_the_page_has_the_commands_to_type(waiting: Waiting) -> None:
    said = waiting.client.get(PATH).text
    assert "lorimer review c001 --study demo --approve" in said
    assert "+# GOOD 1" in said
    assert 'value="approve"' not in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("fields", "headers", "why"),
    [
        ({"token": ""}, {}, "the token is missing, so nothing was changed"),
        ({"token": "another"}, {}, "that is not the token, so nothing was changed"),
        ({"token": "é"}, {}, "that is not the token, so nothing was changed"),
        ({}, {"origin": "http://evil.example"}, "was not sent by a page of this dashboard"),
        ({}, {"origin": "null"}, "was not sent by a page of this dashboard"),
        ({}, {"origin": ""}, "was not sent by a page of this dashboard"),
        ({}, {"sec-fetch-site": "cross-site"}, "was not sent by a page of this dashboard"),
        ({"token": ""}, {"cookie": f"token={TOKEN}"}, "the token is missing"),
    ],
)
def test_nothing_is_changed_without_the_token_or_from_elsewhere(
    waiting: Waiting, fields: dict[str, str], headers: dict[str, str], why: str
) -> None:
    assert why in waiting.post(APPROVE | fields, 403, **headers)
    assert waiting.decided == []


def test_nothing_is_changed_under_another_name_or_by_another_kind_of_form(waiting: Waiting) -> None:
    waiting.post(APPROVE, 400, host="evil.example", origin="http://evil.example")
    assert "only a form of this dashboard" in waiting.post(APPROVE, 400, **{"content-type": "text/plain"})
    assert "over 424,000 bytes" in waiting.post(APPROVE | {"why": "x" * 430_000}, 400)
    assert waiting.decided == []


def test_a_dashboard_without_a_token_changes_nothing(waiting: Waiting) -> None:
    reader = waiting.bench.reader()
    with TestClient(application(reader, waiting.bench.root, ["testserver"])) as client:
        answer = client.post(PATH, content=urlencode(APPROVE | {"token": ""}), headers=OURS)
    assert answer.status_code == 403
    assert "this dashboard has no token" in answer.text
    assert waiting.decided == []


def test_a_refusal_of_the_command_is_a_line_in_the_page(waiting: Waiting) -> None:
    said = waiting.post(APPROVE | {"do": "refuse", "why": ""}, 409)
    assert "a refusal needs a reason, for the log and for the meta-agent" in said
    assert "c009 does not wait for a review; c001 does" in waiting.post(APPROVE | {"candidate": "c009"}, 409)
    assert "asks for nothing that this page does" in waiting.post(APPROVE | {"do": "delete"}, 409)
    assert waiting.decided == []


def test_a_refusal_and_a_revert_are_decisions_with_who_and_why(waiting: Waiting) -> None:
    assert "c001 is approved by Ada: reads well" in waiting.post(APPROVE, 200)
    gone_on(waiting.bench)
    assert "# GOOD 1" in on_disk(waiting.bench)
    said = waiting.post(APPROVE | {"do": "revert", "candidate": "seed", "why": "it broke"}, 200)
    assert "the seed harness is the champion of demo again, after c001" in said
    assert world(waiting.bench).champion_id == ""
    assert waiting.decided == [
        "approved by Ada: reads well",
        "the seed harness is the champion again, after c001, by Ada: it broke",
    ]


def test_what_was_changed_in_the_form_is_changed_and_nothing_else(waiting: Waiting) -> None:
    fields = {
        "do": "tune",
        "token": TOKEN,
        "budget.candidates": "7",
        "was.budget.candidates": "3",
        "sandbox.concurrency": "4",
        "search.width": "2",
        "was.search.width": "1",
    }
    fields |= {
        "was.sandbox.concurrency": "4",
        "budget.usd": "",
        "was.budget.usd": "",
        "budget.hours": "1.5",
        "was.budget.hours": "",
    }
    said = waiting.post(fields, 200)
    assert "budget.candidates changed from 3 to 7; budget.hours changed from unset to 1.5; search.width changed" in said
    assert 'name="budget.candidates" value="7"' in said
    stored = waiting.bench.reader().study("demo").config
    assert (stored["budget"]["candidates"], stored["budget"]["hours"], stored["budget"]["usd"]) == (7, 1.5, None)
    again = {"budget.hours": "", "was.budget.hours": "1.5", "was.budget.candidates": "7", "was.search.width": "2"}
    back = waiting.post(fields | again, 200)
    assert "budget.hours changed from 1.5 to unset" in back
    nothing = waiting.post({"do": "tune", "token": TOKEN}, 409)
    assert "nothing changes: study demo has these settings already" in nothing


@pytest.mark.parametrize(
    "value", ["-1", "many", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "1]\n[gate]\nalpha=1"]
)
def test_a_bound_that_is_none_is_refused_as_text(waiting: Waiting, value: str) -> None:
    said = waiting.post({"do": "tune", "token": TOKEN, "budget.candidates": value, "was.budget.candidates": "3"}, 409)
    assert "--set budget.candidates" in said
    assert not {"script", "img"} & (elements(said) - {"script"}), said
    assert said.count("<script") == 1
    assert waiting.bench.reader().chain("demo", "settings") == []


def test_a_pause_is_asked_for_where_a_process_runs_the_study(waiting: Waiting) -> None:
    pause = {"do": "pause", "token": TOKEN, "why": "dinner", "by": "Ada"}
    assert "no process runs demo, so there is nothing to pause" in waiting.post(pause, 409)
    with closing(sqlite3.connect(waiting.bench.root / STORE)) as store, store:
        store.execute("UPDATE study SET state = 'running', holder = ?", [this_process()])
    assert "Pause demo" in waiting.post({"do": "open", "token": TOKEN}, 200)
    assert "demo is asked to pause, by Ada: dinner" in waiting.post(pause, 200)
    assert [row.body for row in waiting.bench.reader().chain("demo", "pause")] == [{"by": "Ada", "why": "dinner"}]
    assert "is being run by process" in waiting.post({"do": "resume", "token": TOKEN}, 409)


def test_a_study_that_cannot_go_on_says_why_in_the_page(waiting: Waiting) -> None:
    said = waiting.post({"do": "resume", "token": TOKEN}, 409)
    assert "demo does not go on: task t00 is gone since study demo began" in said, (
        "its tasks are dice, which no benchmark has"
    )
    assert (waiting.bench.root / STORE).with_name("resumed-demo.log").exists()


def test_nothing_that_others_wrote_becomes_part_of_the_page_on_which_people_act(waiting: Waiting) -> None:
    for payload in PAYLOADS:
        with closing(sqlite3.connect(waiting.bench.root / STORE)) as store, store:
            for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                store.execute(f'DROP TRIGGER "{name}"')
            store.execute("UPDATE candidate SET title = ?, hypothesis = ?", [payload, payload])
            store.execute("UPDATE harness SET text = ?", [f"</textarea>{payload}"])
            store.execute("UPDATE study SET state_reason = ?", [payload])
        said = waiting.post({"do": "open", "token": TOKEN}, 200)
        assert not elements(said) & {"img", "iframe", "style", "base", "math", "object", "svg"}, payload
        assert said.count("<script") == 1, payload
        assert said.count("<textarea") == said.count("</textarea>"), payload


class Fields(HTMLParser):
    """What the fields of a page's forms hold, as a browser reads them; the last of each name."""

    def __init__(self, page: str, button: str = "") -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._inside = ""
        forms = [each.partition("</form>")[0] for each in page.split("<form ")[1:]]
        self.feed("<form " + next(each for each in forms if f'value="{button}"' in each))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        each = dict(attrs)
        if tag == "textarea":
            self._inside = each["name"] or ""
            self.found[self._inside] = ""
        if tag == "input" and (each.get("type") != "checkbox" or "checked" in each):
            self.found[each["name"] or ""] = each.get("value") or ""
        if tag == "option" and "selected" in each:
            self.found["candidate"] = each["value"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":  # whose first line's end a browser leaves out
            self.found[self._inside] = self.found[self._inside].removeprefix("\n")
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[self._inside] += data


TYPED = "\n\n<b>\N{HEBREW LETTER ALEF}\N{RIGHT-TO-LEFT OVERRIDE} & 'x' {{ 7 }}\n\n"
EDIT = {"do": "propose", "text": f"{TYPED}def broken(:\n", "why": "", "fixes": "t00 nowhere", "at_risk": "t01"}


@pytest.mark.parametrize(
    "form",
    [
        EDIT,
        {"do": "refuse", "candidate": "c001", "why": "", "by": '"Ada" <&>'},
        {"do": "revert", "candidate": "c001", "why": "it broke " * 250, "by": "Ada", "drop": "yes"},
        {"do": "tune", "budget.usd": "1,000", "budget.hours": "12"},
    ],
    ids=lambda form: form["do"],
)
def test_a_form_that_is_refused_comes_back_as_it_was_typed(waiting: Waiting, form: dict[str, str]) -> None:
    if form["do"] == "revert":  # to c001, which was the champion once
        waiting.post(APPROVE, 200)
        gone_on(waiting.bench)
        waiting.post(APPROVE | {"do": "revert", "candidate": "seed"}, 200)
    sent = {name: value.replace("\n", "\r\n") for name, value in form.items()} | {"token": TOKEN}
    said = waiting.post(sent, 409)
    back = Fields(said, form["do"]).found
    assert {name: back[name] for name in form if name != "do"} == {name: form[name] for name in form if name != "do"}


def test_an_edit_that_came_with_a_token_of_before_is_there_again_with_the_right_one(waiting: Waiting) -> None:
    sent = {name: value.replace("\n", "\r\n") for name, value in EDIT.items()} | {"token": "of-an-earlier-start"}
    refused = waiting.post(sent, 403)
    assert "What was typed is there again when the token is given." in refused
    opening = Fields(refused, "open").found | {"token": TOKEN, "do": "open"}
    back = Fields(waiting.post(opening, 200), "propose").found
    assert {name: back[name] for name in EDIT if name != "do"} == {name: EDIT[name] for name in EDIT if name != "do"}
    elsewhere = waiting.post(sent, 403, origin="http://evil.example")
    assert "def broken(" not in elsewhere, "what another page sends is not shown"
    fresh = Fields(waiting.post({"do": "open", "token": TOKEN}, 200), "propose").found
    assert "def broken(" not in fresh["text"]


@pytest.mark.bubblewrap
@in_chromium
def test_bounds_are_changed_and_an_edit_is_put_forward_in_a_browser(
    bench: Bench, bubblewrap: None, chromium: Browser
) -> None:
    jailed = settings(1, sandbox={"provider": "bubblewrap"})
    with ThreadPoolExecutor(1) as threads:
        threads.submit(studied, bench, GOOD_THEN_NULL, jailed).result()
    reader = bench.reader()
    app = application(reader, bench.root, ["127.0.0.1"], TOKEN)
    with serving(app) as address, closing(chromium.new_page(viewport={"width": 390, "height": 900})) as page:
        page.goto(f"{address}/s/demo/act")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.get_by_label("Trials at once").fill("3")
        page.keyboard.press("Enter")
        expect(page.locator("[data-said]")).to_have_text("sandbox.concurrency changed from 4 to 3")
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        shoot(page, "act-390")
        edited = page.get_by_label("The champion's harness")
        harness = edited.input_value()
        assert harness == reader.harness(scan(reader, "demo").champion_harness).text, "to the last line's end"
        edited.fill(f"{harness}<b>")
        page.get_by_role("button", name="Put it before the gate").click()
        expect(page.locator("[data-refused]")).to_contain_text("syntax")
        page.get_by_label("The champion's harness").fill(harness.replace("'plain'", "'better'"))
        page.get_by_label("Why it should help").fill("Plain is <b>not</b> enough.")
        page.get_by_role("button", name="Put it before the gate").click()
        expect(page.locator("[data-said]")).to_contain_text(
            "c002 (Plain is <b>not</b> enough.) is put before the gate of demo"
        )
    row = reader.candidates("demo")[-1]
    assert (row.origin, row.state, reader.harness(row.harness or "").text.count("\r")) == ("human", "proposed", 0)


@in_chromium
def test_a_review_in_a_browser_is_in_the_chain(waiting: Waiting, chromium: Browser) -> None:
    app = application(waiting.bench.reader(), waiting.bench.root, ["127.0.0.1"], TOKEN)
    with serving(app) as address, closing(chromium.new_page(viewport={"width": 390, "height": 900})) as page:
        page.goto(f"{address}/s/demo")
        page.get_by_role("link", name="Act").click()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Act in this page").click()
        # A click does not wait for the page that it leads to, and what is evaluated while one goes is lost.
        expect(page.get_by_role("button", name="Approve c001")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        page.get_by_label("Who decides").first.fill("Ada")
        page.get_by_label("Why").first.fill("reads <b>well</b>")
        page.get_by_role("button", name="Approve c001").click()
        expect(page.locator("[data-said]")).to_contain_text("c001 is approved by Ada: reads <b>well</b>")
    assert waiting.decided == ["approved by Ada: reads <b>well</b>"]
    gone_on(waiting.bench)
    assert "# GOOD 1" in on_disk(waiting.bench)
    verified = audit.verify(waiting.bench.root, waiting.bench.reader())
    assert not [check for check in verified.checks if check.what != "benchmark" and check.problems], verified
    review = next(
        row for row in waiting.bench.reader().chain("demo", "decision") if row.body["row"]["stage"] == "review"
    )
    assert (review.body["row"]["numbers"]["by"], bool(review.made)) == ("Ada", True)
