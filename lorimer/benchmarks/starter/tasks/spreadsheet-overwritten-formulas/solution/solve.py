import csv
import re

from openpyxl import load_workbook

sheet = load_workbook("calc.xlsx")["Calc"]
broken, last = [], sheet.max_row
for row in range(4, last + 1):
    if not str(sheet.cell(row, 1).value).startswith(("Item", "Sum")):
        continue
    right = {"D": f"=B{row}*C{row}", "F": f"=ROUND(D{row}*(1+E{row}),2)", "G": f"=F{row}*$L$1", "H": f"=F{row}+G{row}"}
    if row == last:
        right = {column: f"=SUM({column}4:{column}{row - 1})" for column in right}
    for column, formula in right.items():
        value = sheet[f"{column}{row}"].value
        if value == formula:
            continue
        references = len(re.findall(r"\$?[A-Z]\$?\d+", str(value)))
        expected = len(re.findall(r"\$?[A-Z]\$?\d+", formula))
        kind = "number" if not isinstance(value, str) else "constant" if references < expected else "reference"
        broken.append([f"{column}{row}", kind])
with open("broken.csv", "w", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["cell", "kind"])
    out.writerows(broken)
