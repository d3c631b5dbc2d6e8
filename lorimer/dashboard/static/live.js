// Keeps a page true while the store changes: hears of a change, fetches the part of the page anew, and puts it in its place.
// Without scripts every page works; it is then as old as its loading.
"use strict";

const LEAST_MS = 1500; // between two fetches, however often the store changes

function follow(box) {
  const pulse = document.querySelector("[data-pulse]");
  let timer = 0, last = 0, busy = false, again = false;

  async function refresh() {
    timer = 0;
    if (busy) { again = true; return; }
    busy = true;
    last = Date.now();
    try {
      const answer = await fetch(box.dataset.part, { headers: { Accept: "text/html" } });
      if (answer.ok) put(await answer.text());
    } catch {
      if (pulse) pulse.textContent = "The dashboard does not answer; this page may be old.";
    }
    busy = false;
    if (again) { again = false; soon(); }
  }

  function put(html) {
    const kept = new Set([...box.querySelectorAll("details[data-keep][open]")].map((each) => each.dataset.keep));
    const focused = document.activeElement && box.contains(document.activeElement)
      ? document.activeElement.getAttribute("href") : null;
    // The server escaped every word in it; a script in it would not run, and the page's policy forbids one.
    box.innerHTML = html;
    for (const each of box.querySelectorAll("details[data-keep]")) each.open = kept.has(each.dataset.keep);
    if (focused) box.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    if (pulse) pulse.textContent = `Updated at ${new Date().toLocaleTimeString()}.`;
  }

  function soon() {
    if (!timer) timer = setTimeout(refresh, Math.max(0, last + LEAST_MS - Date.now()));
  }

  const events = new EventSource(box.dataset.live);
  events.addEventListener("changed", soon);
  // After a lost connection the store may have changed unheard.
  let opened = false;
  events.addEventListener("open", () => { if (opened) soon(); opened = true; });
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
