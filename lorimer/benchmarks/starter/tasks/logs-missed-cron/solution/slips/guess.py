import re
from datetime import datetime, timedelta

text = open("cron.log").read()
ran = set()
for stamp, job in re.findall(r"^(\w+ +\d+ \d\d:\d\d):\d\d .*CMD \(.*/([\w-]+)\.sh", text, re.M):
    when = datetime.strptime("2025 " + stamp, "%Y %b %d %H:%M")
    ran.add((when, job))
missed = []
t = datetime(2025, 6, 6)
while t < datetime(2025, 6, 13):
    if t.weekday() < 5 and 6 <= t.hour <= 20 and t.minute % 20 == 0 and (t, "sync-orders") not in ran:
        missed.append(f"{t:%Y-%m-%d %H:%M} sync-orders")
    if (t.hour, t.minute) == (2, 30) and (t, "backup") not in ran:
        missed.append(f"{t:%Y-%m-%d %H:%M} backup")
    t += timedelta(minutes=10)
open("missed.txt", "w").write("\n".join(missed) + "\n")
