python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, json
from datetime import datetime
rows = [json.loads(l) for l in open("timeline.jsonl")]
n = sum(1 for _ in csv.DictReader(open("feeds/badges.csv"))) + sum(l[0] != "#" for l in open("feeds/alarm.txt"))
n += sum(d["confidence"] >= 0.6 for d in json.load(open("feeds/camera.json"))["detections"])
if len(rows) != n:
    sys.exit(print(f"PROBLEM: {len(rows)} events, the feeds have {n}"))
if any(len(r["time"]) != 24 or r["time"][-1] != "Z" for r in rows):
    sys.exit(print("PROBLEM: a time is not UTC with milliseconds and Z"))
if rows != sorted(rows, key=lambda r: (r["time"], r["source"])):
    sys.exit(print("PROBLEM: not sorted by time and source"))
first, last = rows[0]["time"], rows[-1]["time"]
for source in ("badge", "camera", "alarm"):
    mine = [r["time"] for r in rows if r["source"] == source]
    if not mine or mine[0] < "2025-04-08T05" or mine[-1] > "2025-04-08T09:00:00.999Z":
        sys.exit(print(f"PROBLEM: {source} events run from {mine[:1]} to {mine[-1:]}, away from the others: check its clock"))
print("OK")
EOF
