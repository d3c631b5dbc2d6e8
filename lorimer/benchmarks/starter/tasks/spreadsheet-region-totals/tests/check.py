import json
import sys
from pathlib import Path

from openpyxl import load_workbook

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
book = load_workbook("/app/sales_summary.xlsx")
raw = [list(map(str, row)) for row in book["Q3 raw"].iter_rows(values_only=True)]
if raw != want["raw"]:
    sys.exit("the raw sheet was changed")
rows = [list(row) for row in book["Summary"].iter_rows(values_only=True)]
if len(rows) != len(want["rows"]) + 1 or rows[0] != ["Region", "Orders", "Net amount"]:
    sys.exit("Summary does not have the asked rows and headings")
for (region, orders, amount), (name, count, total) in zip(rows[1:], want["rows"]):
    if region != name or orders != count or not isinstance(amount, (int, float)) or abs(amount - total) > 0.004:
        sys.exit(f"wrong row: {region}")
