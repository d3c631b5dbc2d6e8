from openpyxl import load_workbook

wb = load_workbook("order.xlsx")
order, day = wb["Order"], wb["Order"]["B2"].value
norm = lambda v: str(v).strip().upper().zfill(5) if str(v).strip().isdigit() else str(v).strip().upper()
prices = {}
for valid, code, price, pack in wb["Price list"].iter_rows(min_row=2, values_only=True):
    if valid <= day:
        prices[norm(code)] = price / pack
total = 0
for row in order.iter_rows(min_row=5, max_row=order.max_row - 1):
    price = prices.get(norm(row[1].value))
    if price is None:
        row[3].value = "n/a"
    else:
        row[3].value = price
        row[4].value = round(price * row[2].value, 2)
        total += row[4].value
order.cell(order.max_row, 5).value = round(total, 2)
wb.save("order_priced.xlsx")
