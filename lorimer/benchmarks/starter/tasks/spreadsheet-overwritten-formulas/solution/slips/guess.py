import csv

from openpyxl import load_workbook

ws = load_workbook("calc.xlsx", data_only=True).active
broken = []
for row in ws.iter_rows(min_row=2):
    for cell in row[3:]:
        if cell.value is not None and not str(cell.value).startswith("="):
            broken.append([cell.coordinate, "number"])
with open("broken.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["cell", "kind"])
    w.writerows(broken)
