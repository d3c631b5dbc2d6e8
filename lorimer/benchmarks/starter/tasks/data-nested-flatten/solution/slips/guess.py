import csv
import json

catalogue = json.load(open("catalogue.json"))
with open("variants.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["product_id", "title", "sku", "colour", "size", "price", "stock"])
    for product in catalogue["products"]:
        for v in product.get("variants", []):
            if v.get("archived"):
                continue
            price = v.get("price", product["price"])
            w.writerow([product["id"], product["title"], v["sku"], v["colour"], v["size"], f"{price:.2f}", v["stock"]])
