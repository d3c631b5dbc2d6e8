import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
got = Path("/app/missed.txt").read_text(encoding="utf-8").splitlines()
if [line.rstrip() for line in got] != [" ".join(item) for item in want]:
    sys.exit("missed.txt does not list the right runs")
