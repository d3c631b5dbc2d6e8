import csv
import json
from datetime import datetime, timedelta, timezone

events = []
with open("feeds/badges.csv", encoding="utf-8", newline="") as handle:
    for row in csv.DictReader(handle):
        events.append((datetime.fromisoformat(row["opened_at"]), "badge", f"{row['door']} opened by {row['holder']}"))
for seen in json.load(open("feeds/camera.json", encoding="utf-8"))["detections"]:
    if seen["confidence"] >= 0.6:
        when = datetime.fromtimestamp(seen["ts"] // 1000, timezone.utc) + timedelta(milliseconds=seen["ts"] % 1000)
        events.append((when, "camera", f"{seen['kind']} in {seen['zone']}"))
panel_clock = timezone(timedelta(hours=-5))
for line in open("feeds/alarm.txt", encoding="utf-8"):
    if not line.startswith("#"):
        stamp, _, message = line.strip().partition(" | ")
        when = datetime.strptime(stamp, "%m/%d/%y %I:%M:%S %p").replace(tzinfo=panel_clock)
        events.append((when, "alarm", message))
with open("timeline.jsonl", "w", encoding="utf-8") as out:
    for when, source, text in sorted(events):
        time = when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        out.write(json.dumps({"time": time, "source": source, "text": text}) + "\n")
