"""What it costs a harness that the lines which it runs are noted, beside the same work in the same process without.

The work is what a harness does between its calls: it builds messages, reads the model's text with regular expressions, cuts
outputs, counts, and makes JSON of it. It is done in turns with the file compiled as it is and as a trial compiles it, and the
quickest turn of each counts: a busy machine adds to both.

    python -m bench.lines
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lorimer.harness.ran import Lines

TURNS = 15
TARGET = 1.05
"""Times the same work without."""
HARNESS = """
import dataclasses
import json
import re


@dataclasses.dataclass(frozen=True)
class Message:
    role: str
    text: str
    calls: tuple = ()


def command(text):
    found = re.findall(r"```(?:bash|sh)?\\n(.*?)```", text, re.S)
    if len(found) != 1:
        return None
    return found[0].strip()


def shortened(text, limit=4000):
    if len(text) <= limit:
        return text
    half = limit // 2
    return text[:half] + f"[{len(text) - limit} characters left out]" + text[-half:]


def last_error(output):
    for line in reversed(output.splitlines()):
        if "rror" in line:
            return line.strip()
    return ""


def solve(turns):
    messages, seen = [Message("user", "Do it.")], {}
    for turn in range(turns):
        sent = json.dumps([dataclasses.asdict(message) for message in messages])
        answer = f"I look.\\n```bash\\ncat part{turn % 7}.csv\\n```\\n"
        run = command(answer)
        if run is None:
            messages.append(Message("user", "Give one command."))
            continue
        seen[run] = seen.get(run, 0) + 1
        output = "\\n".join(f"{number},{turn},value" for number in range(300)) + "\\nTypeError: no"
        said = last_error(output)
        messages.append(Message("assistant", answer))
        messages.append(Message("user", shortened(output) + said))
    return str(len(sent)) + max(seen, key=seen.get)
"""


def quickest(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of the quickest turn of each, taken in turns."""
    found = dict.fromkeys(works, float("inf"))
    for _ in range(TURNS):
        for name, work in works.items():
            began = time.process_time()
            work()
            found[name] = min(found[name], time.process_time() - began)
    return found


def main() -> None:
    """Measure, print, and exit 1 over the target."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "agent.py")
        path.write_text(HARNESS, encoding="utf-8")
        source, lines = path.read_bytes(), Lines()
        plain: dict[str, object] = {"__name__": "plain"}
        noted: dict[str, object] = {"__name__": "noted"}
        sys.modules |= {"plain": sys, "noted": sys}  # where dataclasses look a class's module up
        exec(compile(source, str(path), "exec", dont_inherit=True), plain)
        exec(lines.compiled(source, str(path)), noted)
        took = quickest({name: _solve(names) for name, names in (("without", plain), ("with", noted))})
    ratio = took["with"] / took["without"]
    told = len(json.dumps({"ran": lines.fresh()}))
    way = "sys.monitoring" if hasattr(sys, "monitoring") else "marks"
    print(
        f"Python {sys.version.split()[0]}, {way}: {1000 * took['with']:.2f} ms against {1000 * took['without']:.2f} ms"
    )
    print(f"{ratio:.3f} times; target {TARGET}; {told} bytes told")
    raise SystemExit(ratio > TARGET)


def _solve(names: dict[str, object]) -> Callable[[], object]:
    solve = names["solve"]
    assert callable(solve)
    return lambda: solve(40)


if __name__ == "__main__":
    main()
