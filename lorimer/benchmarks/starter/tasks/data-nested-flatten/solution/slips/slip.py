import csv
import json

rows = []
for product in json.load(open("catalogue.json"))["data"]["products"]:
    for v in product["variants"] or []:
        if v["archived"]:
            continue
        opts = {o["name"]: o["value"] for o in v["options"]}
        price = (v.get("price") or product["price"])["amount"]
        colour = opts.get("Color", opts.get("Colour", "")).lower()
        rows.append([product["id"], product["title"], v["sku"], colour, opts["Size"], f"{price:.2f}", sum(v["stock"].values())])
rows.sort(key=lambda r: r[2])
with open("variants.csv", "w", newline="", encoding="utf-8") as f:
    w = csv.writer(f)
    w.writerow(["product_id", "title", "sku", "colour", "size", "price", "stock"])
    w.writerows(rows)
