import csv
import shlex

last = {}
for line in open("firewall.log", encoding="utf-8"):
    fields = dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)
    if fields["event"] in ("update", "close"):
        text = fields["bytes"]
        last[fields["id"]] = (fields["src"], int(text[:-1]) * 1024 if text.endswith("K") else int(text))
volume = {}
for source, size in last.values():
    if source.startswith("10."):
        connections, total = volume.get(source, (0, 0))
        volume[source] = (connections + 1, total + size)
with open("volume.csv", "w", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["source", "connections", "bytes"])
    for source, (connections, total) in sorted(volume.items(), key=lambda item: -item[1][1]):
        out.writerow([source, connections, total])
