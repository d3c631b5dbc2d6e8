import json
import re
from datetime import datetime

failures = {}
for line in open("auth.log", encoding="utf-8"):
    if not re.search(r" sshd\[\d+\]: ", line):
        continue
    if match := re.search(r"(?:message repeated (\d+) times: \[ )?Failed password for .* from (\S+) port", line):
        when = datetime.strptime("2025 " + line[:15], "%Y %b %d %H:%M:%S")
        failures.setdefault(match[2], []).extend([when] * int(match[1] or 1))
banned = []
for ip, times in sorted(failures.items()):
    for first, fifth in zip(times, times[4:]):
        if (fifth - first).total_seconds() <= 600:
            banned.append({"ip": ip, "failures": len(times), "blocked_at": fifth.strftime("%b %d %H:%M:%S")})
            break
json.dump(banned, open("banned.json", "w"), indent=1)
