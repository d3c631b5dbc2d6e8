import csv

rows = list(csv.DictReader(open("movements.csv", newline="")))
void = {r["ref"] for r in rows if r["type"] == "VOID"}
seen, stock = set(), {}
for r in rows:
    if r["id"] in seen or r["id"] in void or r["type"] == "VOID":
        continue
    seen.add(r["id"])
    q = int(r["quantity"])
    if r["type"] == "COUNT":
        stock[r["sku"], r["to"]] = q
        continue
    if r["from"]:
        stock[r["sku"], r["from"]] = stock.get((r["sku"], r["from"]), 0) - q
    if r["to"]:
        stock[r["sku"], r["to"]] = stock.get((r["sku"], r["to"]), 0) + q
with open("stock.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["sku", "warehouse", "quantity"])
    for (sku, place), q in sorted(stock.items()):
        if q != 0:
            w.writerow([sku, place, q])
