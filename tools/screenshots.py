#!/usr/bin/env python3
"""Write the pictures of docs/dashboard.md: `python tools/screenshots.py ADDRESS STUDY`, of a dashboard that runs.

They are of the study that `lorimer demo` leaves. With `real` after it, those of README and of docs/studies are written, of the
study that is told of there. Needs Chromium (`tools/chromium`) and Playwright.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
ALONE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(address: str, study: str, which: str = "demo") -> None:
    base = f"{address.rstrip('/')}/s/{study}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ALONE)

        def shoot(name: str, path: str, width: int, height: int, scheme: Literal["light", "dark"] = "light") -> None:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto(base + path)
            page.screenshot(path=IMAGES / f"{name}.png")
            context.close()

        if which == "real":
            shoot("real-study", "", 1240, 1010)
            shoot("real-edits", "/flips?of=2&hunks=1", 1240, 900)
        else:
            shoot("study", "", 1240, 1010)
            shoot("flips", "/flips?of=2&hunks=1", 1240, 900)
            shoot("beside", "/beside?of=2&task=logs-failed-logins", 1240, 820)
            shoot("candidate", "/c/2", 1240, 1000)
            shoot("tasks", "/tasks", 1240, 700)
            shoot("trace", "/trace?of=demo/c002/full/code-settings-reader/0/0", 1240, 820)
            shoot("study-narrow", "", 390, 844, "dark")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
