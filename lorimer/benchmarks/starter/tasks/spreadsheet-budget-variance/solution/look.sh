python3 -c 'import openpyxl; wb = openpyxl.load_workbook("budget.xlsx")
for ws in wb: print(ws.title, ws.sheet_state, ws.dimensions); [print(*map(repr, r)) for r in list(ws.values)[:6]]'
