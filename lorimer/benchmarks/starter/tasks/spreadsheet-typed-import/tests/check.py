import json
import sys
from datetime import datetime
from pathlib import Path

from openpyxl import load_workbook

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
book = load_workbook("/app/parcels.xlsx", read_only=True)
rows = [list(row) for row in book["Parcels"].iter_rows(max_col=7)]
if len(rows) != len(want) or [cell.value for cell in rows[0]] != want[0]:
    sys.exit("wrong headings or number of rows")
for row, (parcel, postcode, sent, weight, insured, express, remark) in zip(rows[1:], want[1:]):
    a, b, c, d, e, f, g = (cell.value for cell in row)
    good = (a, b, f) == (parcel, postcode, express) and isinstance(f, bool) and g == remark
    good = good and isinstance(c, datetime) and c.date().isoformat() == sent
    good = good and isinstance(d, (int, float)) and abs(d - weight) < 1e-6
    good = good and (e is None if insured is None else isinstance(e, (int, float)) and abs(e - insured) < 1e-6)
    if not good or (g is not None and row[6].data_type not in ("s", "inlineStr")):
        sys.exit(f"a cell of parcel {parcel} is wrong")
