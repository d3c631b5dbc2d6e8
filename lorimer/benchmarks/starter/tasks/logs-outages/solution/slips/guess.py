import json
import re
from datetime import datetime

outages, down = [], None
for line in open("gateway.log"):
    m = re.match(r"(\S+ \S+) gateway\[\d+\]: (stopped|crashed|ready)", line)
    if not m:
        continue
    if m.group(2) == "ready" and down:
        outages.append({"from": down[0], "to": m.group(1), "cause": down[1]})
        down = None
    elif m.group(2) != "ready":
        down = (m.group(1), "stop" if m.group(2) == "stopped" else "crash")
fmt = "%Y-%m-%d %H:%M:%S"
secs = sum((datetime.strptime(o["to"], fmt) - datetime.strptime(o["from"], fmt)).seconds for o in outages)
result = {"outages": outages, "downtime_s": secs, "availability_percent": round(100 - secs / 1728, 3)}
json.dump(result, open("outages.json", "w"), indent=1)
