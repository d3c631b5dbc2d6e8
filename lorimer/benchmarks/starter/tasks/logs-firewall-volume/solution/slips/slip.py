import csv
import re

ids, total = {}, {}
for line in open("firewall.log"):
    m = re.search(r"id=(\w+) event=(?:update|close) src=(10\.\S+) bytes=(\d+)(K?)", line)
    if not m:
        continue
    cid, src, number, k = m.groups()
    ids.setdefault(src, set()).add(cid)
    total[src] = total.get(src, 0) + int(number) * (1024 if k else 1)
with open("volume.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["source", "connections", "bytes"])
    for src in sorted(total, key=total.get, reverse=True):
        w.writerow([src, len(ids[src]), total[src]])
