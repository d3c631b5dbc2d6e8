import json
import re
from datetime import datetime, timedelta, timezone

reqs = []
for line in open("requests.log"):
    w = line.split()
    reqs.append((int(w[0]), w[1].split("-")[0], int(w[5])))
out = []
for hm, name in re.findall(r"\| (\d\d:\d\d) \| (.*?) \|", open("deploys.md").read()):
    at = datetime.strptime(f"2025-10-14 {hm}", "%Y-%m-%d %H:%M").replace(tzinfo=timezone(timedelta(hours=2))).timestamp()
    comp = name.split()[0]
    before = [s for t, c, s in reqs if c == comp and at - 1800 <= t <= at]
    after = [s for t, c, s in reqs if c == comp and at < t <= at + 1800]
    b = {"requests": len(before), "errors": len([s for s in before if s >= 500])}
    a = {"requests": len(after), "errors": len([s for s in after if s >= 500])}
    worse = a["errors"] / a["requests"] > 2 * b["errors"] / b["requests"]
    out.append({"deploy": name, "before": b, "after": a, "worse": worse})
json.dump(out, open("deploys.json", "w"), indent=1)
