python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
from datetime import datetime
from openpyxl import load_workbook
rows = list(load_workbook("all_vouchers.xlsx")["All"].values)
src = load_workbook("vouchers.xlsx")
months = ["January", "February", "March", "April", "May"]
want = [v for m in months for r in src[m].values for v in r if isinstance(v, str) and len(v) == 6 and v[2] == "-"]
if rows[0] != ("Month", "Voucher", "Date", "Cost centre", "Amount", "Text"):
    sys.exit(print("PROBLEM: wrong headings"))
if [r[1] for r in rows[1:]] != want:
    sys.exit(print(f"PROBLEM: {len(rows) - 1} rows, the months' sheets have {len(want)} vouchers, or they are out of order"))
for r in rows[1:]:
    if not isinstance(r[2], datetime) or not isinstance(r[4], (int, float)) or not isinstance(r[3], str) or len(r[3]) != 4 or r[3].isalpha():
        sys.exit(print(f"PROBLEM: date, cost centre or amount of {r[1]} are {r[2]!r}, {r[3]!r}, {r[4]!r}"))
    if r[0] != months[int(r[1][:2]) - 1] or r[2].month != int(r[1][:2]):
        sys.exit(print(f"PROBLEM: month or date of {r[1]}"))
print("OK")
EOF
