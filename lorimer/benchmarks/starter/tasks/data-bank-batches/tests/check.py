import csv
import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
if json.loads(Path("/app/rejected.json").read_text()) != want["rejected"]:
    sys.exit("rejected.json is wrong")
if list(csv.reader(open("/app/payments.csv", encoding="utf-8", newline=""))) != want["payments"]:
    sys.exit("payments.csv is wrong")
