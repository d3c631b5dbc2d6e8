import json
import sys
from datetime import datetime
from pathlib import Path

from openpyxl import load_workbook

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
book = load_workbook("/app/all_vouchers.xlsx")
rows = [list(row) for row in book["All"].iter_rows(values_only=True)]
if book.sheetnames != ["All"] or len(rows) != len(want) or rows[0] != want[0]:
    sys.exit("wrong sheets, headings or number of rows")
for row, right in zip(rows[1:], want[1:]):
    if not isinstance(row[2], datetime) or not isinstance(row[4], (int, float)) or abs(row[4] - right[4]) > 0.001:
        sys.exit(f"wrong type or amount: {row[1]}")
    if [row[0], row[1], row[2].date().isoformat(), row[3], row[5]] != right[:4] + right[5:]:
        sys.exit(f"wrong row: {row[1]}")
