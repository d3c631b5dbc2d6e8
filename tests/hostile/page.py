"""docs/hostile-suite.md, made of the suite's own tables.

python -m tests.hostile.page        writes it anew
"""

# ruff: noqa: E501 - prose and tables of the page, as they are written there

from __future__ import annotations

from pathlib import Path

from tests.hostile.cheats import CHEATS
from tests.hostile.endings import ENDINGS
from tests.hostile.table import QUICK

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hostile-suite.md"

_HEAD = """# The hostile suite

This page has what hostile harnesses, task agents and cheats try against lorimer, what comes of it, and what stops it. Its tables are those
that the tests in `tests/hostile/` run, and `python -m tests.hostile.page` writes it. `make test` runs the quick part on Docker, on bubblewrap,
and on Docker with its jails in bubblewrap; `make test-hostile` runs each case by itself on all three. What the suite does not cover is in
[the threat model](threat-model.md).
"""

_ATTEMPTS = """
## Attempts to get out

A harness in its jail and an agent in its task sandbox make these attempts, while another trial's sandbox runs beside them. On Docker and on
bubblewrap they obtain nothing, the host is as before, and the other trial goes on. (A test also runs the attempts without a jail, where they
find what there is.) Where Docker makes the task sandboxes and bubblewrap the jails, each column holds for what it makes.

| attempt | what is tried | from | stopped on Docker by | on bubblewrap by |
|---|---|---|---|---|
"""

_ENDINGS = """
## Endings

These harnesses break the protocol, their limits or their jail, and these agents break their sandbox. The verifier scores each trial, as the
end is the harness's own doing; the next trial is unharmed, and no container with lorimer's labels is left. How a trial ends is named as in
[the table of causes](trial.md).

| case | from | what is tried | how it ends | what stops it |
|---|---|---|---|---|
"""

_CHEATS = """
## Cheats

These agents want the reward without the work, against a real verifier. The columns `restart`, `fresh` and `same` are Docker under each
[isolation](benchmarks.md#isolation). `0` is the reward that such an agent deserves. *Flagged* passes are shown wherever results are, and
score 0 with `[verifier] on_suspect = "zero"`. A *weaker* pass bears the mark of `same` isolation. After a *suspect end* the trial is tried
once more from the start, and then scores 0 where the task verifies without the agent.

| cheat | what is tried | restart | fresh | same | bubblewrap | what stops or tells it |
|---|---|---|---|---|---|---|
"""

_REST = """
Two more cheats are edits. A harness that stores answers by task finds no id in its jail, and an edit that teaches it this benchmark's
ids, texts, file names, answers or fingerprints is refused (`tests/harness/test_version.py`). A harness that passes one of the canaries,
tasks that nobody can solve, is rejected for it (`tests/meta_agent/test_canary.py`).

Honest passes raise no flag (`tests/hostile/test_honest.py`): an answer that the verifier imports, tests and settings of the agent's
own, byte code, packages installed by pip and dpkg with their programs. `python -m bench.honest SOURCE` tries this on a real suite: an agent
does what each task's own solution does. On 40 HumanEval, 17 Polyglot, 6 SpreadsheetBench and 16 Terminal-Bench tasks 75 agents passed,
some by way of uv, pip and apt, and none was flagged.

## Networks and disks

| case | outcome | held by |
|---|---|---|
| containers of two trials with an open network | cannot reach each other | a bridge of lorimer's own without traffic between containers |
| `[sandbox] network = "registries"`: another host, an address, a name, the engine's gateways, the host | refused or silent; recorded | an internal network without an address of the host, and a proxy |
| the proxy asked for loopback, link-local and private addresses, also as IPv4 in IPv6 | refused | only names on the list may lead there |
| an agent that fills the engine's disk, or its inodes | its trial ends; its neighbours go on | the free-space watchdog |
| a runtime that the engine does not have | exit code 3, with the fix | checked when a container is made |

## Crashes

What befalls lorimer itself, its disk, its clock or its engine in the middle of a study that has every stage and promotes an edit
(`tests/crash/`). After `lorimer resume` the decisions, their numbers, the candidates and the commits are those of an undisturbed
run with the same seed; no trial that had its score is run again; every row of every attempt is still there; no container, process
or folder is left.

| what happens | times | outcome | held by |
|---|---|---|---|
| `kill -9` at random moments, once or twice in a study | 50 | 50 identical after `resume`; `verify` finds nothing changed | plans stored before their first trial; a verdict's transaction holds all its steps; a commit is found again by its trailers |
| the machine loses its power: the store's log is cut, or ends in zeros or noise, anywhere after what was synced for sure | 6 | 6 identical after `resume`; what was lost is run again | checksums of the log; verdicts, decisions and reservations are synced before anyone is answered |
| a disk that lied: the log is gone, or cut below what it had synced | 6 | identical, or one line that says that the store is damaged | the file is looked through before a dead process's study is taken over |
| a promotion's commit outlives the entries that it testifies to | with the above | `lorimer verify` names the commit | `Lorimer-Chain` trailers |
| the Docker Engine is restarted and its containers die, twice in a study | 1 | waited for; identical, with no `resume` | `engine_outage` uses up no retry; a jail and a sandbox that end together are the engine's doing; warm jails are looked at before they are given out |
| the engine stays away | 1 | paused in one line; identical after `resume` | `[retries] engine_seconds` |
| the connection to the engine is cut while its containers live on | 1 | the trial is tried once more, never scored by it | a command that goes on without its stream, a harness that says that it was cut off |
| the disk of the store is full, twice in a study | 1 | one line, exit code 1; identical after space is freed | nothing is answered that is not stored; the writer refuses everything after its first failure |
| the clock jumps 400 days forth and back, or back and forth | 2 | identical; `[budget] hours` and every duration as they were | the monotonic clock; the order of rows instead of their times |
| a second lorimer on the same study | 1 | told who holds it, since when; exit code 2 | compare-and-set in the store, by process and its start |
"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD, _ATTEMPTS]
    for case in QUICK:
        places = " and ".join({"jail": "jail", "sandbox": "task sandbox"}[place] for place in case.places)
        lines.append(_row(case.name, case.tried, places, case.docker, case.bubblewrap))
    lines.append(_ENDINGS)
    for ending in ENDINGS:
        where = {"wire": "jail, on the wire", "jail": "jail", "sandbox": "task sandbox"}[ending.where]
        causes = " or ".join(f"`{cause}`" for cause in ending.causes)
        lines.append(_row(ending.name, ending.tried, where, causes, ending.stops))
    lines.append(_CHEATS)
    for cheat in CHEATS:
        found = [cheat.expected(isolation, "docker") for isolation in ("restart", "fresh", "same")]
        found.append(cheat.expected("restart", "bubblewrap"))
        lines.append(_row(cheat.name, cheat.tried, *found, cheat.stops))
    lines.append(_REST)
    return "".join(lines)


def _row(name: str, *cells: str) -> str:
    words = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| `{name}` | {words} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
