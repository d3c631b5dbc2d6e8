import json
from datetime import datetime

fmt = "%Y-%m-%d %H:%M:%S"
outages, alive, stopped = [], None, None
for line in open("gateway.log"):
    stamp, text = line[:19], line[20:].strip()
    if text.startswith("gateway: alive"):
        alive = stamp
    elif text == "gateway: stopped":
        stopped = stamp
    elif text == "gateway: ready":
        if stopped:
            outages.append({"from": stopped, "to": stamp, "cause": "stop"})
        elif alive:
            outages.append({"from": alive, "to": stamp, "cause": "crash"})
        stopped, alive = None, stamp
outages = [o for o in outages if not ("2025-11-03 15:00:00" <= o["from"] and o["to"] <= "2025-11-03 16:00:00")]
secs = sum(int((datetime.strptime(o["to"], fmt) - datetime.strptime(o["from"], fmt)).total_seconds()) for o in outages)
answer = {"outages": outages, "downtime_s": secs, "availability_percent": round(100 * (1 - secs / (48 * 3600)), 3)}
json.dump(answer, open("outages.json", "w"), indent=1)
