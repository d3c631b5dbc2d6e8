python3 -c 'import openpyxl; wb = openpyxl.load_workbook("timesheet.xlsx")
for ws in wb: print(ws.title, ws.sheet_state, ws.dimensions); [print(*map(repr, r)) for r in list(ws.values)[:5]]'
python3 -c 'import openpyxl; print(*list(openpyxl.load_workbook("timesheet.xlsx")["CW 40"].values)[-3:], sep="\n")'
