#!/usr/bin/env python3
"""Write the pictures of docs/dashboard.md: `python tools/screenshots.py ADDRESS STUDY`, of a dashboard that runs.

They are of the study that `lorimer demo` leaves. With `real` after it, those of README and of docs/studies are written, of the
study that is told of there; with `pairings`, those of a grid. Needs Chromium (`tools/chromium`) and Playwright.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PAGES = (
    ("study", "", 1010),
    ("flips", "/flips?of=2&hunks=1", 900),
    ("beside", "/beside?of=2&task=logs-failed-logins#acted", 900),
    ("candidates", "/candidates", 560),
    ("candidate", "/c/2", 1000),
    ("tasks", "/tasks", 700),
    ("trace", "/trace?of=demo/c002/full/code-settings-reader/0/0", 820),
    ("lineage", "/lineage", 480),
    ("search", "/search?q=Traceback", 620),
    ("power", "/power?part=page", 800),
    ("act", "/act", 900),
)
"""Name, path within the study, and height of each picture of the demo's study."""
SETTLED_MS = 1500
"""How long a page may take to follow its store, and to scroll to where it opens."""
ALONE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(address: str, study: str, which: str = "demo") -> None:
    base = address.rstrip("/")
    of_study = f"/s/{study}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ALONE)

        def shoot(name: str, path: str, width: int, height: int, scheme: Literal["light", "dark"] = "light") -> None:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto(base + path)
            page.wait_for_timeout(SETTLED_MS)
            if place := path.partition("#")[2]:  # the page itself opens where two trials part
                page.locator(f"#{place}").evaluate("place => place.scrollIntoView()")
            page.screenshot(path=IMAGES / f"{name}.png")
            context.close()

        if which == "real":
            shoot("real-study", of_study, 1240, 1010)
            shoot("real-edits", f"{of_study}/flips?of=2&hunks=1", 1240, 900)
        elif which == "pairings":
            shoot("studies", "/", 1240, 420)
            shoot("pairings", "/pairings", 1240, 900)
        else:
            for name, path, height in PAGES:
                shoot(name, of_study + path, 1240, height)
            shoot("study-narrow", of_study, 390, 844, "dark")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
