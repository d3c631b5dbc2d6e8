from openpyxl import load_workbook

wb = load_workbook("sales.xlsx")
totals = {}
for row in wb["Q3 raw"].iter_rows(min_row=5, values_only=True):
    region, amount, note = row[2], row[4], row[5]
    if not region or note == "cancelled" or not isinstance(amount, (int, float)):
        continue
    name = region.strip().title()
    n, t = totals.get(name, (0, 0))
    totals[name] = (n + 1, t + amount)
ws = wb.create_sheet("Summary")
ws.append(["Region", "Orders", "Net amount"])
for name, (n, t) in sorted(totals.items(), key=lambda kv: -kv[1][1]):
    ws.append([name, n, round(t, 2)])
ws.append(["Total", sum(n for n, _ in totals.values()), round(sum(t for _, t in totals.values()), 2)])
wb.save("sales_summary.xlsx")
