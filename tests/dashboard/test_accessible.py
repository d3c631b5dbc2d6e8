"""Everyone can read and use the pages: axe-core finds nothing serious, and a keyboard alone reaches whatever a mouse does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from bench.made_store import STUDY
from lorimer.dashboard.app import application
from lorimer.dashboard.report import report, write
from tests.dashboard.browser import chromium, in_chromium, serving, shoot
from tests.dashboard.conftest import Served, paths, quickly_forecast

__all__ = ["chromium"]
pytestmark = in_chromium

TOKEN = "the-token-of-this-start"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
AXE = next(iter((CACHE / "lorimer").glob("axe-core-*.min.js")), None)
with_axe = pytest.mark.skipif(AXE is None, reason="no axe-core in the user's cache; `tools/axe` takes it from npm")

FURTHER = (f"/s/{STUDY}/act", f"/s/{STUDY}/search?q=pytest", f"/s/{STUDY}/power?part=page")
"""Pages that hold forms, or take long."""

FOUND = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .flatMap((each) => each.nodes.slice(0, 3).map((node) => `${each.id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`))"""
Screen = tuple[int, Literal["light", "dark"]]
TWO: tuple[Screen, ...] = ((1440, "light"), (390, "dark"))
"""What depends on a width alone, or on the colours alone, is found in two of the four screens."""
FOUR: tuple[Screen, ...] = (*TWO, (1440, "dark"), (390, "light"))
"""The study's page has pictures that stand at one of the widths alone."""

# A point of the score history is a link that Tab passes over, as the same link stands in the table below it.
# A point of the score history is a link that Tab passes over, as the same link stands in the table below it.
STOPS = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
  )]
  .filter((each) => each.checkVisibility() && (each.tagName === "SUMMARY" || !each.closest("details:not([open])")))
  .filter((each) => each.tabIndex >= 0 || !document.querySelector(`table a[href="${each.getAttribute("href")}"]`)).length"""
FOCUSED = """() => {
  const each = document.activeElement, style = getComputedStyle(each);
  document.stops ??= [];
  const before = document.stops.includes(each);
  document.stops.push(each);
  return each === document.body || before ? null
    : [each.outerHTML.slice(0, 90), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


@pytest.fixture
def page(served: Served, chromium: Browser) -> Iterator[Page]:
    """A page of the dashboard, of which a person may act."""
    app = application(served.reader, served.root, ["127.0.0.1"], TOKEN)
    with serving(app) as address:
        context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 900})
        with closing(context):
            context.set_default_timeout(0)  # a forecast takes long on a busy machine
            yield context.new_page()


def serious(page: Page, name: str, screens: Sequence[Screen] = TWO) -> list[str]:
    """What axe-core finds on a page with everything open, each thing once."""
    assert AXE is not None
    # By the browser's own door, so that the page keeps the policy that it is served with.
    page.evaluate(AXE.read_text())
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = dict[str, str]()
    for width, scheme in screens:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        shoot(page, f"{name}-{width}-{scheme}")
        for each in page.evaluate(FOUND):
            found.setdefault(str(each), f"{name} at {width}, {scheme}: {each}")
    return list(found.values())


@with_axe
def test_axe_finds_nothing_serious_on_any_page(served: Served, page: Page) -> None:
    quickly_forecast(served)
    found = []
    for path in [*paths(served), *FURTHER, "/nothing-here"]:
        page.goto(path)
        name = path.partition("?")[0].strip("/").replace("/", "-") or "studies"
        found += serious(page, name, FOUR if path == f"/s/{STUDY}" else TWO)
    page.goto(f"/s/{STUDY}/act")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Act in this page").click()
    found += serious(page, "act-open")
    assert not found, "\n".join(found)


@with_axe
def test_axe_finds_nothing_serious_in_a_report(served: Served, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write(report(served.reader, served.root, STUDY), file, force=False)
    page.goto(file.as_uri())
    found = serious(page, "report")
    assert not found, "\n".join(found)


def test_tab_reaches_everything_on_a_page_and_shows_where_it_is(page: Page) -> None:
    for path in ("", "/flips?hunks=1", "/c/8", "/act"):
        page.goto(f"/s/{STUDY}{path}")
        wanted, found = page.evaluate(STOPS), list[tuple[str, bool]]()
        while len(found) <= wanted:
            page.keyboard.press("Tab")
            stop = page.evaluate(FOCUSED)
            if stop is None:
                break
            found.append((stop[0], stop[1]))
        assert len(found) == wanted, (path, found[-2:])
        assert [said for said, seen in found if not seen] == [], path


def test_the_skip_link_leads_past_what_every_page_begins_with(page: Page) -> None:
    page.goto(f"/s/{STUDY}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box() is not None
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_enter_opens_what_is_folded_and_escape_closes_it(page: Page) -> None:
    page.goto(f"/s/{STUDY}")
    folded = page.locator("details[data-keep]")
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    assert folded.get_attribute("open") is not None
    folded.locator("a").first.focus()
    page.keyboard.press("Escape")
    assert folded.get_attribute("open") is None
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY", "the focus is not lost with what held it"
