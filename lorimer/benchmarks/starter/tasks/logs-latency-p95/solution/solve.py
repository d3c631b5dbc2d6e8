import json
import math
import re

line_form = re.compile(r'\S+ \S+ "\S+ (\S+) [^"]*" (\d+) (\S+) (\S+)')
times, in_seconds = {}, True
for line in open("access.log", encoding="utf-8"):
    if line.startswith("#"):
        in_seconds = line.split()[-1] == "seconds"
        continue
    path, status, third, fourth = line_form.match(line).groups()
    path = path.split("?")[0]
    if path.startswith("/api/") and status != "499":
        millis = round(float(fourth) * 1000) if in_seconds else int(third)
        times.setdefault(path, []).append(millis)
answer = {
    path: {"requests": len(values), "p95_ms": sorted(values)[math.ceil(0.95 * len(values)) - 1]}
    for path, values in times.items()
}
json.dump(answer, open("p95.json", "w"), indent=1)
