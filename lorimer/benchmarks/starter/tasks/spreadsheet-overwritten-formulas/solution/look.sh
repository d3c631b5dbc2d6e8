python3 -c 'import openpyxl; wb = openpyxl.load_workbook("calc.xlsx")
for ws in wb: print(ws.title, ws.sheet_state, ws.dimensions); [print(*map(repr, r)) for r in list(ws.values)[:6]]'
python3 -c 'import openpyxl; ws = openpyxl.load_workbook("calc.xlsx")["Calc"]; [print(*map(repr, r)) for r in list(ws.values)[-2:]]; print([r[0] for r in ws.values if r[0] and not str(r[0]).startswith("Item")])'
