"""The pages in Chromium, at a desk's width and at a telephone's: no error, nothing wider than the screen, live, by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from bench.made_store import STUDY
from lorimer.dashboard.app import application
from lorimer.dashboard.report import report, write
from tests.dashboard.browser import chromium, in_chromium, serving, shoot
from tests.dashboard.conftest import Served, paths
from tests.dashboard.test_hostile import PAYLOADS, poison

__all__ = ["chromium"]
pytestmark = in_chromium


@pytest.fixture
def address(served: Served) -> Iterator[str]:
    with serving(application(served.reader, served.root, ["127.0.0.1"])) as found:
        yield found


Open = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, address: str) -> Iterator[Open]:
    """Opens a page at a width; at the end nothing may have been complained of."""
    complaints: list[str] = []
    contexts = []

    def refuse(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def open_at(path: str, width: int = 1440, scheme: Literal["light", "dark"] = "light") -> Page:
        context = chromium.new_context(
            base_url=address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", refuse)
        page.goto(path)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_page_fits_its_screen_and_complains_of_nothing(
    served: Served, opened: Open, width: int, scheme: str
) -> None:
    page = opened("/", width, scheme)
    for path in [*paths(served), f"/s/{STUDY}/search?q=pytest"]:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
        unnamed = "[...document.querySelectorAll('a')].filter(each => !each.textContent.trim() && !each.title).length"
        assert page.evaluate(unnamed) == 0, path


def running(served: Served) -> None:
    served.change("UPDATE study SET state = 'running', holder = '' WHERE id = ?", STUDY)


def spend(served: Served) -> None:
    """Something that a study's page shows."""
    served.change("UPDATE spent SET calls = calls + 1, tokens = tokens + 5 WHERE study = ?", STUDY)


def test_a_page_follows_the_store_and_keeps_what_is_open(served: Served, opened: Open) -> None:
    running(served)
    page = opened(f"/s/{STUDY}")
    page.get_by_text("The same as a table").click()
    assert page.locator("details[data-keep]").get_attribute("open") is not None
    assert page.locator(".state").first.inner_text() == "running"
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    expect(page.locator(".state").first).to_have_text("finished")
    assert page.locator("details[data-keep]").get_attribute("open") is not None
    assert "Updated at" in page.locator("[data-pulse]").inner_text()


def test_eight_windows_of_a_browser_follow_a_study_and_a_further_page_still_comes(served: Served, opened: Open) -> None:
    """A browser has six connections for a server: a page that kept one open would leave none for the seventh."""
    running(served)
    first = opened(f"/s/{STUDY}")
    windows = [first, *(first.context.new_page() for _ in range(7))]
    for page in windows[1:]:
        page.goto(first.url)
    spend(served)
    for page in windows:
        expect(page.locator("[data-pulse]")).to_contain_text("Updated at", timeout=60_000)
    further = first.context.new_page()
    further.goto(f"{first.url}/candidates")
    expect(further.get_by_role("heading", name="Candidates")).to_be_visible()


def test_a_window_that_nobody_sees_asks_for_nothing_until_it_is_seen(served: Served, opened: Open) -> None:
    running(served)
    page = opened(f"/s/{STUDY}")
    show = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.clock.install()  # a clock of the page's own, in which a minute takes no time
    page.reload()
    page.evaluate(show, True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    spend(served)
    page.clock.run_for(60_000)
    # The icon is asked for by the browser, once, at a time of its own after the page was loaded.
    assert [url for url in asked if not url.endswith("/static/icon.svg")] == []
    page.evaluate(show, False)
    expect(page.locator("[data-pulse]")).to_contain_text("Updated at")


def test_the_keyboard_stays_where_it_is_when_a_page_is_updated(served: Served, opened: Open) -> None:
    running(served)
    page = opened(f"/s/{STUDY}")
    page.clock.install()  # in which the page asks at once
    page.reload()
    page.get_by_text("The same as a table").click()
    here = "(() => { const each = document.activeElement; return [each.tagName, each.className, each.textContent.trim()]; })()"
    for what in ("details[data-keep] summary", ".scroll[tabindex]", ".told a", ".scroll a"):
        page.locator(what).last.focus()
        before = page.evaluate(here)
        assert before[0] != "BODY", what
        page.evaluate("document.querySelector('[data-live]').firstElementChild.dataset.old = 'yes'")
        spend(served)
        page.clock.run_for(2_000)
        expect(page.locator("[data-old]")).to_have_count(0)
        assert page.evaluate(here) == before, what


def test_a_keyboard_reaches_an_edit_its_hunks_and_two_trials(served: Served, opened: Open) -> None:
    page = opened(f"/s/{STUDY}/flips")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".edit").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**hunks=1**")
    assert page.locator("tr.hunk").count() >= 1
    page.locator("tbody td a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/beside**")
    assert page.locator(".lanes.heads .lane").count() == 2
    parting = page.locator("[data-open-at]")
    if parting.count():
        place = parting.bounding_box()
        assert place is not None
        assert 0 <= place["y"] <= 900, "the page opens where they part"


CUT = """() => [...document.querySelectorAll("main *")]
  .filter((each) => getComputedStyle(each).overflowX !== "visible" || getComputedStyle(each).overflowY !== "visible")
  .filter((each) => each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)
  .filter((each) => each.clientWidth > 1 && each.tagName !== "svg")
  .map((each) => each.outerHTML.slice(0, 90))"""
"""What does not show all that is in it."""


def test_nothing_is_cut_off_on_paper(served: Served, opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write(report(served.reader, served.root, STUDY), file, force=False)
    page = opened(f"/s/{STUDY}", 700, "dark")  # an upright A4 page between its margins
    page.emulate_media(media="print")
    here = page.url.removesuffix(f"/s/{STUDY}")
    for address in (*(here + path for path in paths(served)), file.as_uri()):
        page.goto(address)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate(CUT) == [], address
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, address
        shoot(page, f"print-{address.partition('?')[0].rpartition('/')[2]}")


def test_every_tab_is_seen_on_a_telephone(served: Served, opened: Open) -> None:
    page = opened(f"/s/{STUDY}/act", 390)
    assert page.locator(".tabs a[aria-current=page]").inner_text() == "Act"
    for tab in page.locator(".tabs a").all():
        place = tab.bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390


def test_two_trials_stand_below_each_other_on_a_telephone(served: Served, opened: Open) -> None:
    path = next(path for path in paths(served) if "/beside?" in path)
    page = opened(path, 390)
    shoot(page, "beside-390")
    for lane in page.locator(".lane:not(:empty)").all():
        place = lane.bounding_box()
        assert place is not None
        assert place["width"] > 340
    lanes = "[...document.querySelectorAll('.lane[data-whose]:not(:empty)')]"
    whose = f"{lanes}.map((each) => getComputedStyle(each, '::before').content)"
    assert set(page.evaluate(whose)) == {'"champion"', '"candidate"'}


DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Waits until a page that was loaded was drawn too: what it would do by itself, it has begun."""


def test_no_payload_runs_in_a_browser(served: Served, opened: Open) -> None:
    pages = poison(served, " ".join(PAYLOADS))
    page = opened("/")
    for path in pages:
        page.goto(path)
        page.evaluate(DRAWN)
        assert page.evaluate("document.querySelectorAll('iframe, img, base, form, style, math').length") == 0, path
        assert "evil" not in page.evaluate("performance.getEntriesByType('resource').map(each => each.name).join()")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_report_is_whole_without_scripts_and_asks_for_nothing(
    served: Served, chromium: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    poison(served, " ".join(PAYLOADS))
    file = tmp_path / "report.html"
    made = report(served.reader, served.root, STUDY)
    write(made, file, force=False)
    assert file.stat().st_size < 5_000_000
    asked, complaints = list[str](), list[str]()
    for scripts in (False, True):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        shoot(page, f"report-{width}-{scheme}")
        assert page.locator("h1").count() == 1
        assert page.locator("svg.chart:visible").count() >= 1
        if scripts:
            assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
            assert page.evaluate("getComputedStyle(document.querySelector('.panel')).borderRadius") == "10px"
        context.close()
    assert asked == [file.as_uri()] * 2
    assert complaints == []
