from openpyxl import load_workbook

book = load_workbook("sales.xlsx")
totals = {}
for _, order, region, _, amount, note in book["Q3 raw"].iter_rows(min_row=5, max_col=6, values_only=True):
    if not order or (note or "").strip().lower() == "cancelled":
        continue
    if isinstance(amount, str):
        amount = float(amount.rstrip("K")) * 1000
    name = region.strip().capitalize()
    count, total = totals.get(name, (0, 0.0))
    totals[name] = (count + 1, total + amount)
sheet = book.create_sheet("Summary")
sheet.append(["Region", "Orders", "Net amount"])
for name, (count, total) in sorted(totals.items(), key=lambda item: -item[1][1]):
    sheet.append([name, count, round(total, 2)])
sheet.append(["Total", sum(c for c, _ in totals.values()), round(sum(t for _, t in totals.values()), 2)])
book.save("sales_summary.xlsx")
