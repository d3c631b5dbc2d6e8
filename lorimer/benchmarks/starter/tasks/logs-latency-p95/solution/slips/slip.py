import json
import math
import re

times = {}
for line in open("access.log"):
    m = re.match(r'\S+ \S+ "\S+ (\S+) [^"]*" (\d+) (\S+) (\S+)', line)
    if not m or m[2] == "499":
        continue
    path = m[1].split("?")[0]
    if path.startswith("/api/"):
        times.setdefault(path, []).append(round(float(m[4]) * 1000))
out = {}
for path, values in times.items():
    values.sort()
    out[path] = {"requests": len(values), "p95_ms": values[math.ceil(0.95 * len(values)) - 1]}
json.dump(out, open("p95.json", "w"), indent=1)
