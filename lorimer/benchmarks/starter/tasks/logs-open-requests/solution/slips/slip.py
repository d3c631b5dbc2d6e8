import gzip
import json
import re

text = gzip.open("log/server.log.2.gz", "rt").read()
text += open("log/server.log.1").read() + open("log/server.log").read()
running, out = {}, []
for line in text.splitlines():
    stamp, rest = line[:19], line[20:]
    if rest.startswith("server"):
        for r in running.values():
            out.append({**r, "end": "restart"})
        running.clear()
    elif m := re.match(r"(r\d+) begin \S+ (\S+)", rest):
        running[m[1]] = {"request": m[1], "started": stamp, "path": m[2]}
    elif m := re.match(r"(r\d+) .*\bend\b", rest):
        running.pop(m[1], None)
out += [{**r, "end": "open"} for r in running.values()]
out.sort(key=lambda r: (r["started"], r["request"]))
json.dump(out, open("unfinished.json", "w"), indent=1)
