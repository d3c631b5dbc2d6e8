import json
import re

run, alarm, total = [], None, 0.0
with open("gc.log") as f:
    for line in f:
        m = re.search(r"(\S+): \[Full GC .* (\d+)K->(\d+)K\((\d+)K\), ([\d.]+) secs\]", line)
        if not m:
            continue
        total += float(m.group(5)) * 1000
        if int(m.group(3)) > 0.9 * int(m.group(4)):
            run.append(len(run))
        else:
            run = []
        if len(run) == 3 and not alarm:
            alarm = float(m.group(1))
json.dump({"first_alarm_s": alarm, "gc_ids": run[:3], "full_pauses_ms": round(total, 3)}, open("alarm.json", "w"))
