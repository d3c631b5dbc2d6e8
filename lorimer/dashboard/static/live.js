// Keeps a page true while the store changes: hears of a change, fetches the part of the page anew, and puts it in its place.
// Without scripts every page works; it is then as old as its loading.
"use strict";

const RUNS_MS = 1500; // between two questions while the study runs
const RESTS_MS = 4000; // and while nothing runs it, which a command in a terminal may change
const ANSWER_MS = 30000; // for which an answer is waited for

// The page asks in short questions. A stream that stays open would take one of the six connections that a browser has for a
// server, so that a seventh page would wait for ever.
function follow(box) {
  const pulse = document.querySelector("[data-pulse]");
  let version = box.dataset.version, timer = 0, asking = false;

  async function ask() {
    clearTimeout(timer);
    if (asking || document.hidden) return; // one that nobody sees asks when it is seen again
    asking = true;
    try {
      const answer = await fetch(box.dataset.live, {
        headers: { "If-None-Match": version },
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      if (answer.status === 200) {
        put(await answer.text());
        version = answer.headers.get("ETag");
        say(`Updated at ${new Date().toLocaleTimeString()}.`);
      } else if (answer.status !== 304) {
        say("The study cannot be read now; this page may be old.");
      } else if (pulse?.dataset.lost) {
        say("Nothing has changed.");
      }
    } catch {
      say("The dashboard does not answer; this page may be old.", true);
    }
    asking = false;
    const runs = box.querySelector("[data-state]")?.dataset.state === "running";
    timer = setTimeout(ask, runs ? RUNS_MS : RESTS_MS);
  }

  function say(words, lost = false) {
    if (!pulse) return;
    pulse.textContent = words;
    if (lost) pulse.dataset.lost = "yes"; else delete pulse.dataset.lost;
  }

  function put(html) {
    const open = new Set([...box.querySelectorAll("details[data-keep][open]")].map((each) => each.dataset.keep));
    const scrolled = [...box.querySelectorAll(".scroll[aria-label]")].map((each) => [each, each.scrollLeft, each.scrollTop]);
    const here = box.contains(document.activeElement) ? known(document.activeElement) : "";
    // The server escaped every word in it; a script in it would not run, and the page's policy forbids one.
    box.innerHTML = html;
    for (const each of box.querySelectorAll("details[data-keep]")) each.open = open.has(each.dataset.keep);
    for (const [was, left, top] of scrolled) {
      const now = [...box.querySelectorAll(".scroll[aria-label]")].find((each) => each.ariaLabel === was.ariaLabel);
      if (now) { now.scrollLeft = left; now.scrollTop = top; }
    }
    if (!here) return;
    // Where what had the keyboard is gone, it goes on from the beginning of the part, not of the page.
    box.tabIndex = -1;
    ([...box.querySelectorAll(STOPS)].find((each) => known(each) === here) ?? box).focus({ preventScroll: true });
  }

  document.addEventListener("visibilitychange", ask);
  timer = setTimeout(ask, RUNS_MS);
}

const STOPS = "a[href], summary, button, input, select, textarea, [tabindex]";

// What something that the keyboard reaches is known by, in a page before and after an update. The score history is drawn at two
// widths, of which one is shown.
function known(each) {
  const words = each.tagName === "SUMMARY" || each.tagName === "BUTTON" ? each.textContent : "";
  const around = each.parentElement?.closest("[aria-label], .told, .panel");
  const place = around?.getAttribute("aria-label") ?? around?.className ?? "";
  return [each.tagName, each.getAttribute("href"), each.name, each.ariaLabel, words, place].join("\n");
}

for (const box of document.querySelectorAll("[data-live]")) follow(box);

// What takes long is asked for when the rest of the page is there.
async function later(box) {
  try {
    const answer = await fetch(box.dataset.later, { headers: { Accept: "text/html" } });
    if (answer.ok) box.innerHTML = await answer.text(); // the server escaped every word in it
  } catch {
    box.textContent = "The dashboard does not answer.";
  }
}

for (const box of document.querySelectorAll("[data-later]")) later(box);

// A comparison opens where the two trials part.
document.querySelector("[data-open-at]")?.scrollIntoView({ block: "center" });

// What scrolls within itself is reached by Tab as well, and nothing else is in a keyboard's way for it. In what is folded there
// is nothing to measure until it is opened.
function reach() {
  for (const each of document.querySelectorAll("pre")) {
    if (each.scrollHeight > each.clientHeight + 1) each.tabIndex = 0;
  }
}

reach();
document.addEventListener("toggle", reach, true);

// Escape closes what was opened around the place where the keyboard is.
document.addEventListener("keydown", (pressed) => {
  const open = pressed.key === "Escape" && document.activeElement?.closest("details[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary")?.focus();
});
