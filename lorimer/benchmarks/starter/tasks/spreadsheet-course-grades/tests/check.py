import csv
import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
with open("/app/grades.csv", encoding="utf-8", newline="") as handle:
    got = list(csv.reader(handle))
if got != want:
    sys.exit("grades.csv does not hold the right rows")
