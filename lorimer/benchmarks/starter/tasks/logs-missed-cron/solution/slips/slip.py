import re
from datetime import datetime, timedelta

ran = set()
for line in open("cron.log"):
    m = re.match(r"(\S+) mill CRON\[\d+\]: .*CMD \(/opt/jobs/([\w-]+)", line)
    if m:
        when = datetime.fromisoformat(m[1]).replace(second=0)
        ran.add((when, m[2]))
missed = []
day = datetime(2025, 6, 6)
while day < datetime(2025, 6, 13):
    due = [(day.replace(hour=2, minute=30), "backup")]
    if day.weekday() < 5 and day != datetime(2025, 6, 9):
        due += [(day.replace(hour=h, minute=m), "sync-orders") for h in range(6, 21) for m in (0, 20, 40)]
    for when, job in due:
        if (when, job) not in ran:
            missed.append(f"{when:%Y-%m-%d %H:%M} {job}")
    day += timedelta(days=1)
open("missed.txt", "w").write("\n".join(missed) + "\n")
