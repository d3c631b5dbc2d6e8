python3 -c 'import openpyxl; [print(*r) for r in openpyxl.load_workbook("sales.xlsx").active.values]'
