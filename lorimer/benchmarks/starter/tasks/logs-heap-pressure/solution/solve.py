import json
import re

line_form = re.compile(r"\[([\d.]+)s\].* GC\((\d+)\) Pause Full .*->([\d.]+)([MG])\(([\d.]+)([MG])\) ([\d.]+)ms")
megabytes = {"M": 1, "G": 1024}
run, alarm, pauses = [], None, 0.0
for line in open("gc.log"):
    if not (match := line_form.match(line)):
        continue
    at, number, after, after_unit, top, top_unit, took = match.groups()
    pauses += float(took)
    occupied = float(after) * megabytes[after_unit] / (float(top) * megabytes[top_unit])
    run = [*run, int(number)] if occupied > 0.9 else []
    if len(run) == 3 and alarm is None:
        alarm = {"first_alarm_s": float(at), "gc_ids": run}
json.dump({**alarm, "full_pauses_ms": round(pauses, 3)}, open("alarm.json", "w"))
