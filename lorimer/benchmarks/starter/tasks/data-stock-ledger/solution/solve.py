import csv

with open("movements.csv", encoding="utf-8", newline="") as handle:
    bookings = {row["id"]: row for row in csv.DictReader(handle)}
void = {row["ref"] for row in bookings.values() if row["type"] == "VOID"}
stock = {}
for row in sorted(bookings.values(), key=lambda row: row["booked_at"]):
    if row["id"] in void or row["type"] == "VOID":
        continue
    quantity, source, target = int(row["quantity"]), (row["sku"], row["from"]), (row["sku"], row["to"])
    if row["type"] == "COUNT":
        stock[target] = quantity
    if row["type"] in ("OUT", "MOVE"):
        stock[source] = stock.get(source, 0) - quantity
    if row["type"] in ("IN", "MOVE"):
        stock[target] = stock.get(target, 0) + quantity
with open("stock.csv", "w", encoding="utf-8", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["sku", "warehouse", "quantity"])
    out.writerows([*key, quantity] for key, quantity in sorted(stock.items()) if quantity)
