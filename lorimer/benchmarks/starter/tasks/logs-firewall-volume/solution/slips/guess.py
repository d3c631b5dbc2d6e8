import csv
import re

volume = {}
with open("firewall.log") as f:
    for line in f:
        if "ALLOW" not in line:
            continue
        src = re.search(r"SRC=(\S+)", line).group(1)
        size = int(re.search(r"LEN=(\d+)", line).group(1))
        if src.startswith("10."):
            n, total = volume.get(src, (0, 0))
            volume[src] = (n + 1, total + size)
with open("volume.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["source", "connections", "bytes"])
    for src, (n, total) in sorted(volume.items(), key=lambda kv: -kv[1][1]):
        w.writerow([src, n, total])
