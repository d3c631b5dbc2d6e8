import json
import re
from datetime import datetime, timedelta

attempts = {}
for line in open("auth.log"):
    m = re.search(r"Failed password for .* from (\S+) port", line)
    if m:
        when = datetime.strptime("2025 " + line[:15], "%Y %b %d %H:%M:%S")
        attempts.setdefault(m[1], []).append(when)
result = []
for ip in sorted(attempts):
    times = attempts[ip]
    for i in range(4, len(times)):
        if times[i] - times[i - 4] <= timedelta(minutes=10):
            stamp = times[i].strftime("%b %d %H:%M:%S")
            result.append({"ip": ip, "failures": len(times), "blocked_at": stamp})
            break
json.dump(result, open("banned.json", "w"), indent=1)
