python3 -c 'import openpyxl; r = list(openpyxl.load_workbook("results.xlsx").active.values)
for x in r[:8] + r[-3:]: print(*map(repr, x))
print({v for x in r[3:] for v in x[3:] if isinstance(v, str) or v is None})'
