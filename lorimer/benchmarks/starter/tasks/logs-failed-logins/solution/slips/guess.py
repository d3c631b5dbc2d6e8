import json
import re
from datetime import datetime

attempts = {}
with open("auth.log") as f:
    for line in f:
        m = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d).*Failed password for .* from ([\d.]+)", line)
        if m:
            attempts.setdefault(m.group(2), []).append(datetime.fromisoformat(m.group(1)))
result = []
for ip, times in sorted(attempts.items()):
    if len(times) >= 5:
        result.append({"ip": ip, "failures": len(times), "blocked_at": times[4].strftime("%b %d %H:%M:%S")})
json.dump(result, open("banned.json", "w"), indent=2)
