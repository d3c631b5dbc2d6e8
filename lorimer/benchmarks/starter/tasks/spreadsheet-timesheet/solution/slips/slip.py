from datetime import time

from openpyxl import Workbook, load_workbook


def hours(v):
    if v is None or v == "-":
        return 0
    if isinstance(v, time):
        return v.hour + v.minute / 60
    if isinstance(v, str) and ":" in v:
        h, m = v.split(":")
        return float(f"{h}.{m}")
    return float(str(v).replace("h", "").replace(",", "."))


total = {}
for ws in load_workbook("timesheet.xlsx"):
    for row in ws.iter_rows(min_row=4, values_only=True):
        if not row[0] or row[0] == "Checked by":
            continue
        e = total.setdefault(row[0].strip(), {})
        e[row[1]] = e.get(row[1], 0) + sum(hours(v) for v in row[2:7])
projects = sorted({p for e in total.values() for p in e})
out = Workbook()
out.active.title = "Hours"
out.active.append(["Employee"] + projects + ["Total"])
for name in sorted(total):
    vals = [total[name].get(p, 0) for p in projects]
    out.active.append([name] + vals + [sum(vals)])
out.save("hours.xlsx")
