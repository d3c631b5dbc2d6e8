import openpyxl

wb = openpyxl.load_workbook("sales.xlsx")
ws = wb["Q3 raw"]
header = [c.value for c in ws[1]]
region, amount, status = header.index("Region"), header.index("Net amount"), header.index("Status")
totals = {}
for row in ws.iter_rows(min_row=2, values_only=True):
    if row[status] != "Cancelled":
        n, t = totals.get(row[region], (0, 0))
        totals[row[region]] = (n + 1, t + row[amount])
out = wb.create_sheet("Summary")
out.append(["Region", "Orders", "Net amount"])
for name, (n, t) in sorted(totals.items(), key=lambda x: -x[1][1]):
    out.append([name, n, round(t, 2)])
out.append(["Total", sum(n for n, _ in totals.values()), round(sum(t for _, t in totals.values()), 2)])
wb.save("sales_summary.xlsx")
