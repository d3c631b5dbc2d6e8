import csv
import json
from datetime import datetime

events = []
for row in csv.DictReader(open("feeds/badges.csv")):
    events.append((row["timestamp"], "badge", f"{row['door']} opened by {row['holder']}"))
for item in json.load(open("feeds/camera.json")):
    if item["confidence"] >= 0.6:
        events.append((item["timestamp"], "camera", f"{item['kind']} in {item['zone']}"))
for line in open("feeds/alarm.txt"):
    time, message = line.strip().split(" ", 1)
    events.append((time, "alarm", message))
with open("timeline.jsonl", "w") as f:
    for time, source, text in sorted(events):
        t = datetime.fromisoformat(time).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        f.write(json.dumps({"time": t, "source": source, "text": text}) + "\n")
