import csv
import json
from datetime import datetime, timezone

events = []
with open("feeds/badges.csv", newline="") as f:
    for r in csv.DictReader(f):
        events.append((datetime.fromisoformat(r["opened_at"]), "badge", f"{r['door']} opened by {r['holder']}"))
for d in json.load(open("feeds/camera.json"))["detections"]:
    if d["confidence"] >= 0.6:
        events.append((datetime.fromtimestamp(d["ts"] / 1000, timezone.utc), "camera", f"{d['kind']} in {d['zone']}"))
for line in open("feeds/alarm.txt"):
    if line.startswith("#"):
        continue
    stamp, message = line.strip().split(" | ")
    when = datetime.strptime(stamp, "%m/%d/%y %I:%M:%S %p").replace(tzinfo=timezone.utc)
    events.append((when, "alarm", message))
with open("timeline.jsonl", "w") as f:
    for when, source, text in sorted(events):
        t = when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        f.write(json.dumps({"time": t, "source": source, "text": text}) + "\n")
