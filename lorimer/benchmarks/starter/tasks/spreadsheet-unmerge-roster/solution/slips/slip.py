import csv

from openpyxl import load_workbook

ws = load_workbook("roster.xlsx").active
rows, site, team = [], None, None
for a, b, name, hours, start in ws.iter_rows(min_row=2, values_only=True):
    site, team = a or site, b or team
    if not name or name == "(vacant)":
        continue
    start = start if isinstance(start, str) else start.date().isoformat()
    rows.append([site, team, name, hours, start])
rows.sort(key=lambda r: (r[0], r[1], r[2], r[4]))
with open("roster.csv", "w", newline="", encoding="utf-8") as f:
    w = csv.writer(f)
    w.writerow(["site", "team", "employee", "hours", "start"])
    w.writerows(rows)
