python3 -c 'import openpyxl; [print(*r) for r in openpyxl.load_workbook("roster.xlsx").active.values]'
