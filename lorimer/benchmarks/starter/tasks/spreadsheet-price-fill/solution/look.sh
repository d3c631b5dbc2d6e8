python3 -c 'import openpyxl; wb = openpyxl.load_workbook("order.xlsx")
for ws in wb: print(ws.title, ws.dimensions); [print(*map(repr, r)) for r in list(ws.values)[:9] + list(ws.values)[-2:]]'
