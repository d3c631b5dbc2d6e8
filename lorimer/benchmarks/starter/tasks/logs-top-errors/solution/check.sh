python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, re
rows = list(csv.reader(open("top_errors.csv", encoding="utf-8")))
if rows[0] != ["count", "message"] or len(rows) != 6:
    sys.exit(print("PROBLEM: not the header and five rows"))
lines = open("shop.log").read().splitlines()
for n, message in rows[1:]:
    if re.search(r"\d", message) or "[" in message or "##" in message:
        sys.exit(print(f"PROBLEM: {message!r} still has digits or the worker"))
    want = sum(1 for l in lines if re.match(r"2\S+ \S+ ERROR ", l) and re.sub(r"\d+", "#", l).endswith("] " + message))
    if int(n) != want:
        sys.exit(print(f"PROBLEM: {message!r} is in {want} ERROR records, not {n}"))
if [int(r[0]) for r in rows[1:]] != sorted((int(r[0]) for r in rows[1:]), reverse=True):
    sys.exit(print("PROBLEM: not sorted by count"))
print("OK")
EOF
