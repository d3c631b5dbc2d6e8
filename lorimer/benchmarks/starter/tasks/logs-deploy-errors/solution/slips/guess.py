import json
from datetime import datetime, timedelta

requests = []
with open("requests.log") as f:
    for line in f:
        parts = line.split()
        when = datetime.fromisoformat(parts[0])
        requests.append((when, parts[1], int(parts[-1])))
result = []
for d in json.load(open("deploys.json")):
    at = datetime.fromisoformat(d["time"])
    half = timedelta(minutes=30)
    before = [s for t, h, s in requests if at - half <= t < at]
    after = [s for t, h, s in requests if at <= t < at + half]
    b = {"requests": len(before), "errors": sum(s >= 500 for s in before)}
    a = {"requests": len(after), "errors": sum(s >= 500 for s in after)}
    result.append({"deploy": d["name"], "before": b, "after": a, "worse": a["errors"] > 2 * b["errors"]})
json.dump(result, open("deploys.json", "w"), indent=1)
