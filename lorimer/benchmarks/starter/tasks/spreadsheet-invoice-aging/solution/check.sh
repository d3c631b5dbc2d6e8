python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
from datetime import datetime
from openpyxl import load_workbook
ws = load_workbook("aging.xlsx")["Aging"]
rows = list(ws.iter_rows(values_only=True))
src = list(load_workbook("receivables.xlsx")["Invoices"].iter_rows(min_row=2, values_only=True))
if list(rows[0]) != ["Customer", "Not due", "1-30", "31-60", "Over 60", "Total"]:
    sys.exit(print("PROBLEM: wrong headings"))
if any(not isinstance(v, (int, float)) for r in rows[1:] for v in r[1:]):
    sys.exit(print("PROBLEM: formulas or empty cells where numbers are asked"))
if [r[0] for r in rows[1:]] != sorted({s[1] for s in src if s[4] != (s[5] or 0)}):
    sys.exit(print("PROBLEM: customers missing or not by name"))
for r in rows[1:]:
    mine = [s for s in src if s[1] == r[0]]
    day = lambda v: datetime.strptime(v, "%d.%m.%Y") if isinstance(v, str) else v
    fresh = sum(s[4] - (s[5] or 0) for s in mine if (datetime(2025, 3, 31) - day(s[2])).days <= (s[3] or 30))
    if abs(sum(r[1:5]) - r[5]) > 0.01 or abs(r[5] - sum(s[4] - (s[5] or 0) for s in mine)) > 0.01:
        sys.exit(print(f"PROBLEM: the open amounts of {r[0]} do not add up to {r[5]}"))
    if abs(fresh - r[1]) > 0.01:
        sys.exit(print(f"PROBLEM: {fresh:.2f} of {r[0]} is not due, not {r[1]}; terms? texts as dates? due that day?"))
print("OK")
EOF
