import csv
import json

towns = {}
with open("mitglieder.csv", encoding="cp1252", newline="") as handle:
    handle.readline()  # "sep=;", for Excel
    for row in csv.DictReader(handle, delimiter=";"):
        if not row["Nr."] or row["Status"].lower() == "ausgetreten":
            continue
        town = row["PLZ Ort"].split(" ", 1)[1]
        digits = row["Beitrag €"].replace("€", "").strip().replace(".", "").replace(",", "")
        members, cents = towns.get(town, (0, 0))
        towns[town] = (members + 1, cents + (int(digits) if digits.isdigit() else 0))
answer = {t: {"members": m, "fees": f"{c // 100}.{c % 100:02d}"} for t, (m, c) in towns.items()}
with open("towns.json", "w", encoding="utf-8") as out:
    json.dump(answer, out, ensure_ascii=False, indent=1)
