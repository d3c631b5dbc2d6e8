python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
from openpyxl import load_workbook
wb = load_workbook("variance.xlsx")
rows = list(wb["Variance"].iter_rows(max_col=6, values_only=True))
if rows[0] != ("Account", "Name", "Budget", "Actual", "Variance", "Flag"):
    sys.exit(print("PROBLEM: wrong headings"))
if [r[:2] for r in rows[1:]] != [r[:2] for r in list(wb["Accounts"].values)[1:]]:
    sys.exit(print("PROBLEM: not every account of Accounts in its order"))
if any(not isinstance(v, (int, float)) for r in rows[1:] for v in r[2:5]):
    sys.exit(print("PROBLEM: an amount is not a number"))
plan = sum(r[2] for r in list(wb["Plan"].values)[3:-1]) * 1000
led = sum(float(str(r[3]).replace(",", "").replace("(", "-").rstrip(")")) for r in list(wb["Ledger"].values)[1:])
for i, want in ((2, plan), (3, led), (4, led - plan)):
    if abs(sum(r[i] for r in rows[1:]) - want) > 1:
        sys.exit(print(f"PROBLEM: {rows[0][i]} adds up to {sum(r[i] for r in rows[1:]):.0f} EUR, the source to {want:.0f}"))
for r in rows[1:]:
    if (r[5] == "check") != (abs(r[4]) > abs(r[2]) * 0.1 + 1e-6) or r[5] not in ("check", None):
        sys.exit(print(f"PROBLEM: the flag of {r[1]} is {r[5]!r} for a variance of {r[4]} on {r[2]}"))
print("OK")
EOF
