import csv
from datetime import datetime

from openpyxl import load_workbook

sheet = load_workbook("roster.xlsx").active
for area in list(sheet.merged_cells.ranges):
    value, cells = sheet.cell(area.min_row, area.min_col).value, list(area.cells)
    sheet.unmerge_cells(str(area))
    for row, column in cells:
        if area.min_col == area.max_col:
            sheet.cell(row, column).value = value
rows = []
for site, team, name, hours, start in sheet.iter_rows(min_row=2, max_col=5, values_only=True):
    if not name or not start:
        continue
    if isinstance(start, str):
        start = datetime.strptime(start.strip(), "%d.%m.%Y")
    rows.append([site, team, name, f"{float(str(hours).rstrip('h')):g}", start.date().isoformat()])
rows.sort(key=lambda row: (row[0], row[1], row[2], row[4]))
with open("roster.csv", "w", encoding="utf-8", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["site", "team", "employee", "hours", "start"])
    out.writerows(rows)
