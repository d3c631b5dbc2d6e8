import json
from decimal import Decimal

towns = {}
lines = open("mitglieder.csv", encoding="cp1252").read().splitlines()
for line in lines[2:]:
    cells = line.split(";")
    if len(cells) != 7 or not cells[0] or cells[6] == "Ausgetreten":
        continue
    town = cells[3].split(" ", 1)[1]
    fee = cells[4].replace("€", "").strip().replace(".", "").replace(",", ".")
    entry = towns.setdefault(town, [0, Decimal(0)])
    entry[0] += 1
    if fee not in ("-", "–"):
        entry[1] += Decimal(fee)
out = {t: {"members": n, "fees": f"{f:.2f}"} for t, (n, f) in towns.items()}
json.dump(out, open("towns.json", "w", encoding="utf-8"), ensure_ascii=False, indent=1)
