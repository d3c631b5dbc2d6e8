python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, re
rows = list(csv.reader(open("volume.csv")))
if rows[0] != ["source", "connections", "bytes"] or not all(r[0].startswith("10.") for r in rows[1:]):
    sys.exit(print("PROBLEM: wrong header, or a source outside 10.0.0.0/8"))
lines = re.findall(r"id=(\w+) event=(?:update|close) src=(10\.\S+) bytes=(\d+)(K?)", open("firewall.log").read())
top = {}
for cid, src, n, k in lines:
    top[cid] = (src, max(int(n) * (1024 if k else 1), top.get(cid, (src, 0))[1]))
for src, n, size in rows[1:]:
    mine = [b for s, b in top.values() if s == src]
    if int(n) != len(mine) or int(size) != sum(mine):
        sys.exit(print(f"PROBLEM: {src} has {len(mine)} connections whose final counters add up to {sum(mine)}, not {n} and {size}"))
if len(rows) - 1 != len({s for s, _ in top.values()}) or [int(r[2]) for r in rows[1:]] != sorted((int(r[2]) for r in rows[1:]), reverse=True):
    sys.exit(print("PROBLEM: sources are missing or not sorted"))
print("OK")
EOF
