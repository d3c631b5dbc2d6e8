python3 -c 'import openpyxl; ws = openpyxl.load_workbook("roster.xlsx").active; print(ws.dimensions, *ws.merged_cells.ranges)
[print(*map(repr, r)) for r in list(ws.values)[:20]]'
