import csv
import json

rows = []
for product in json.load(open("catalogue.json", encoding="utf-8"))["data"]["products"]:
    for variant in product["variants"] or []:
        if variant["archived"]:
            continue
        options = {option["name"].lower().replace("color", "colour"): option["value"] for option in variant["options"]}
        price = (variant.get("price") or product["price"])["amount"]
        stock = sum(variant["stock"].values())
        rows.append(
            [product["id"], product["title"], variant["sku"], options["colour"].lower(), options["size"], f"{price:.2f}", stock]
        )
rows.sort(key=lambda row: row[2])
with open("variants.csv", "w", encoding="utf-8", newline="") as handle:
    out = csv.writer(handle)
    out.writerow("product_id title sku colour size price stock".split())
    out.writerows(rows)
