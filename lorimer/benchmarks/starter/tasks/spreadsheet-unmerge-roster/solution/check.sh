python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, re
from openpyxl import load_workbook
rows = list(csv.DictReader(open("roster.csv", encoding="utf-8")))
ws = load_workbook("roster.xlsx").active
names = [r[2] for r in ws.iter_rows(min_row=2, values_only=True) if r[2] and r[4]]
if list(rows[0]) != ["site", "team", "employee", "hours", "start"]:
    sys.exit(print("PROBLEM: wrong header"))
if sorted(r["employee"] for r in rows) != sorted(names):
    sys.exit(print(f"PROBLEM: {len(rows)} rows, but the roster has {len(names)} employees"))
for r in rows:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", r["start"]) or not re.fullmatch(r"\d+(\.[1-9])?", r["hours"]):
        sys.exit(print(f"PROBLEM: start or hours of {r['employee']} are {r['start']!r}, {r['hours']!r}"))
    if not r["site"].isalpha() or not r["team"].isalpha():
        sys.exit(print(f"PROBLEM: site or team of {r['employee']} are {r['site']!r}, {r['team']!r}"))
keys = [(r["site"], r["team"], r["employee"], r["start"]) for r in rows]
if keys != sorted(keys):
    sys.exit(print("PROBLEM: not sorted"))
print("OK")
EOF
