import csv
import json

towns = {}
with open("mitglieder.csv", encoding="utf-8") as f:
    for row in csv.DictReader(f, delimiter=";"):
        if row["Status"] == "Ausgetreten":
            continue
        town = row["Ort"]
        fee = row["Beitrag"].replace(".", "").replace(",", ".")
        t = towns.setdefault(town, {"members": 0, "fees": 0.0})
        t["members"] += 1
        t["fees"] += 0.0 if fee == "-" else float(fee)
for t in towns.values():
    t["fees"] = f"{t['fees']:.2f}"
json.dump(towns, open("towns.json", "w"))
