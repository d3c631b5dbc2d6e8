import json
import re

run, alarm, pauses = [], None, 0.0
for line in open("gc.log"):
    m = re.search(r"\[([\d.]+)s\].*GC\((\d+)\) Pause Full .*->([\d.]+)M\(([\d.]+)M\) ([\d.]+)ms", line)
    if not m:
        continue
    pauses += float(m[5])
    if float(m[3]) / float(m[4]) > 0.9:
        run.append(int(m[2]))
    else:
        run = []
    if len(run) == 3 and alarm is None:
        alarm = {"first_alarm_s": float(m[1]), "gc_ids": list(run)}
json.dump({**(alarm or {"first_alarm_s": None, "gc_ids": []}), "full_pauses_ms": round(pauses, 3)}, open("alarm.json", "w"))
