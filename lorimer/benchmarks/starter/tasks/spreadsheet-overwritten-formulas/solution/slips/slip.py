import csv
import re

from openpyxl import load_workbook

ws = load_workbook("calc.xlsx")["Calc"]
out = []
for r in range(4, ws.max_row + 1):
    for col in "DFGH":
        value = ws[f"{col}{r}"].value
        if value is None:
            continue
        if not isinstance(value, str):
            out.append([f"{col}{r}", "number"])
        elif "SUM" in value:
            continue
        elif re.search(r"\*0\.\d+", value):
            out.append([f"{col}{r}", "constant"])
        elif any(int(n) != r for n in re.findall(r"[A-H](\d+)", value)):
            out.append([f"{col}{r}", "reference"])
with open("broken.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["cell", "kind"])
    w.writerows(out)
