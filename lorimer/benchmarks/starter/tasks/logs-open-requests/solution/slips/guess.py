import glob
import json
import re

running = {}
for name in sorted(glob.glob("log/server.log*")):
    with open(name) as f:
        for line in f:
            m = re.match(r"(\S+ \S+) \[(r\d+)\] (begin|end|aborted) ?(\S*)", line)
            if not m:
                continue
            if m.group(3) == "begin":
                running[m.group(2)] = {"request": m.group(2), "started": m.group(1), "path": m.group(4), "end": "open"}
            else:
                running.pop(m.group(2), None)
json.dump(list(running.values()), open("unfinished.json", "w"), indent=1)
