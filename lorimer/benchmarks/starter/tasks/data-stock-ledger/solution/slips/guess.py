import csv
from collections import defaultdict

stock = defaultdict(int)
with open("movements.csv") as f:
    for row in csv.DictReader(f):
        qty = int(row["qty"])
        if row["type"] == "IN":
            stock[row["sku"], row["warehouse"]] += qty
        elif row["type"] == "OUT":
            stock[row["sku"], row["warehouse"]] -= qty
        elif row["type"] == "MOVE":
            stock[row["sku"], row["from"]] -= qty
            stock[row["sku"], row["to"]] += qty
        elif row["type"] == "COUNT":
            stock[row["sku"], row["warehouse"]] = qty
with open("stock.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["sku", "warehouse", "quantity"])
    for (sku, wh), qty in sorted(stock.items()):
        if qty:
            w.writerow([sku, wh, qty])
