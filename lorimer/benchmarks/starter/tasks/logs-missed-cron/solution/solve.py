import re
from datetime import datetime, timedelta

runs = {"sync-orders": [], "backup": []}
for line in open("cron.log"):
    if match := re.match(r"(\S+) \S+ CRON\[\d+\]: \(\w+\) CMD \(/opt/jobs/([\w-]+)", line):
        runs[match[2]].append(datetime.fromisoformat(match[1]))
holidays = re.findall(r"^holiday (\S+)", open("schedule.txt").read(), re.M)
missed = []
for number in range(7):
    day = datetime(2025, 6, 6) + timedelta(days=number)
    due = [(day + timedelta(hours=2, minutes=30), "backup")]
    if day.weekday() < 5 and day.date().isoformat() not in holidays:
        due += [(day + timedelta(minutes=m), "sync-orders") for m in range(6 * 60, 20 * 60 + 41, 20)]
    for when, job in due:
        if not any(timedelta(0) <= run - when <= timedelta(seconds=120) for run in runs[job]):
            missed.append(f"{when:%Y-%m-%d %H:%M} {job}\n")
open("missed.txt", "w").writelines(missed)
