import json
import re

times = {}
with open("access.log") as f:
    for line in f:
        m = re.search(r'"(?:GET|POST|PUT|DELETE) (/api/[^ ?]+).*" (\d{3}) .* (\d+)ms', line)
        if m and m.group(2) != "499":
            times.setdefault(m.group(1), []).append(int(m.group(3)))
result = {}
for path, values in times.items():
    values.sort()
    result[path] = {"requests": len(values), "p95_ms": values[int(len(values) * 0.95)]}
with open("p95.json", "w") as f:
    json.dump(result, f)
