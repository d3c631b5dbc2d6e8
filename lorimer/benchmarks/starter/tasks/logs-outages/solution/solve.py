import json
from datetime import datetime


def when(text):
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


end, maintenance = "2025-11-05 00:00:00", ("2025-11-03 15:00:00", "2025-11-03 16:00:00")
outages, last_sign, down, first = [], None, None, True
for line in open("gateway.log"):
    stamp, program, what = line[:19], *line[20:].split(": ", 1)
    if program != "gateway":
        continue
    if what.startswith("stopped"):
        down = (stamp, "stop")
    elif what.startswith("starting") and not down and not first:
        down = (last_sign, "crash")
    elif what.startswith("ready"):
        if down:
            outages.append({"from": down[0], "to": stamp, "cause": down[1]})
        down, first, last_sign = None, False, stamp
    elif what.startswith("alive"):
        last_sign = stamp
if not down and (when(end) - when(last_sign)).total_seconds() > 300:
    down = (last_sign, "crash")
if down:
    outages.append({"from": down[0], "to": end, "cause": down[1]})
outages = [o for o in outages if not (maintenance[0] <= o["from"] and o["to"] <= maintenance[1])]
seconds = sum(int((when(o["to"]) - when(o["from"])).total_seconds()) for o in outages)
percent = round(100 * (1 - seconds / 172800), 3)
json.dump({"outages": outages, "downtime_s": seconds, "availability_percent": percent}, open("outages.json", "w"), indent=1)
