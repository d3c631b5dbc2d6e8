from openpyxl import load_workbook

wb = load_workbook("order.xlsx")
prices = {}
for row in wb["Price list"].iter_rows(min_row=2, values_only=True):
    prices[str(row[0]).strip()] = row[1]
ws = wb["Order"]
total = 0
for row in ws.iter_rows(min_row=2):
    price = prices.get(str(row[0].value).strip())
    if price is None:
        row[3].value = "n/a"
    else:
        row[3].value = price
        row[4].value = round(price * row[2].value, 2)
        total += row[4].value
ws.cell(ws.max_row, 5).value = total
wb.save("order_priced.xlsx")
