python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
from datetime import datetime
from openpyxl import load_workbook
rows = list(load_workbook("parcels.xlsx", read_only=True)["Parcels"].iter_rows(max_col=7))
src = [l.rstrip("\n").split("|") for l in open("parcels.txt")]
if [c.value for c in rows[0]] != ["Parcel", "Postcode", "Sent", "Weight kg", "Insured", "Express", "Remark"] or len(rows) != len(src):
    sys.exit(print(f"PROBLEM: wrong headings, or {len(rows)} rows for {len(src)} lines"))
for row, s in zip(rows[1:], src[1:]):
    a, b, c, d, e, f, g = (x.value for x in row)
    if (a, b) != (s[0], s[1]) or not isinstance(c, datetime) or c.strftime("%m/%d/%Y") != s[2]:
        sys.exit(print(f"PROBLEM: {s[0]}: number, postcode or date is {a!r} {b!r} {c!r}"))
    if not isinstance(d, float | int) or d > 31 or isinstance(e, str) or (e is None) != (s[4] == "") or not isinstance(f, bool):
        sys.exit(print(f"PROBLEM: {s[0]}: {d!r} {e!r} {f!r} are not a number, a number or empty, a truth value"))
    if f != (s[5][:1] in "Yy" and s[5] != "") or (g or "") != s[6] or row[6].data_type == "f":
        sys.exit(print(f"PROBLEM: {s[0]}: express {f!r} from {s[5]!r}, or the remark {s[6]!r} is {g!r}, type {row[6].data_type}"))
print("OK")
EOF
