python3 -c 'import openpyxl; ws = openpyxl.load_workbook("sales.xlsx").active; print(ws.title, ws.dimensions)
for r in list(ws.values)[:12] + list(ws.values)[-3:]: print(*r, sep="|")'
