python3 -c 'import openpyxl; [print(*r) for ws in openpyxl.load_workbook("vouchers.xlsx") for r in ws.values]'
