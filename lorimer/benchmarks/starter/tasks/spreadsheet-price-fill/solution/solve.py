from decimal import ROUND_HALF_UP, Decimal

from openpyxl import load_workbook


def article(value):
    text = str(value).strip().upper()
    return text.lstrip("0") if text.isdigit() else text


book = load_workbook("order.xlsx")
order, prices = book["Order"], {}
day = order["B2"].value
for valid, code, price, pack in book["Price list"].iter_rows(min_row=2, max_col=4, values_only=True):
    if code is not None and valid <= day:
        prices.setdefault(article(code), []).append((valid, Decimal(str(price)) / pack))
total = Decimal(0)
for row in order.iter_rows(min_row=5, max_col=5):
    if row[1].value == "Sum":
        row[4].value = float(total)
        break
    known = prices.get(article(row[1].value))
    if not known:
        row[3].value = "n/a"
        continue
    price = max(known)[1]
    line = (price * row[2].value).quantize(Decimal("0.01"), ROUND_HALF_UP)
    row[3].value, row[4].value = float(price), float(line)
    total += line
book.save("order_priced.xlsx")
