python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
from openpyxl import load_workbook
book = load_workbook("sales_summary.xlsx")
rows = [list(r) for r in book["Summary"].iter_rows(values_only=True)]
raw = [r for r in load_workbook("sales.xlsx")["Q3 raw"].iter_rows(min_row=5, values_only=True) if r[1] and r[5] != "cancelled"]
if rows[0] != ["Region", "Orders", "Net amount"] or rows[-1][0] != "Total":
    sys.exit(print("PROBLEM: headings or the Total row are not as asked"))
if any(not isinstance(v, (int, float)) for r in rows[1:] for v in r[1:]):
    sys.exit(print("PROBLEM: formulas or texts where values are asked"))
if sorted(r[0] for r in rows[1:-1]) != sorted({r[2].strip().capitalize() for r in raw}):
    sys.exit(print(f"PROBLEM: regions are {[r[0] for r in rows[1:-1]]}"))
if sum(r[1] for r in rows[1:-1]) != len(raw) or rows[-1][1] != len(raw):
    sys.exit(print(f"PROBLEM: {rows[-1][1]} orders counted, {len(raw)} rows have an order number and are not cancelled"))
amounts = [float(r[4][:-1]) * 1000 if isinstance(r[4], str) else r[4] for r in raw]
if abs(rows[-1][2] - sum(amounts)) > 0.02 or [r[2] for r in rows[1:-1]] != sorted((r[2] for r in rows[1:-1]), reverse=True):
    sys.exit(print(f"PROBLEM: the total is {rows[-1][2]}, the raw amounts add up to {sum(amounts):.2f}, or rows are not sorted"))
print("OK")
EOF
