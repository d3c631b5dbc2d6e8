from openpyxl import load_workbook

wb = load_workbook("sales.xlsx")
raw = "'Q3 raw'!"
ws = wb.create_sheet("Summary")
ws.append(["Region", "Orders", "Net amount"])
for i, name in enumerate(["North", "South", "East", "West"], start=2):
    ws.append([
        name,
        f'=COUNTIFS({raw}C:C,A{i},{raw}F:F,"<>cancelled")',
        f'=ROUND(SUMIFS({raw}E:E,{raw}C:C,A{i},{raw}F:F,"<>cancelled"),2)',
    ])
ws.append(["Total", "=SUM(B2:B5)", "=SUM(C2:C5)"])
wb.save("sales_summary.xlsx")
