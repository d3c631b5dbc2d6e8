import csv
import json

good, rejected = [], []
for line in open("batches.dat", encoding="latin-1"):
    kind = line[:2]
    if kind == "10":
        batch, day, payments, total = int(line[2:8]), line[8:14], [], 0
        date = f"20{day[4:6]}-{day[2:4]}-{day[0:2]}"
    elif kind == "20":
        cents, sign = int(line[43:55]), "-" if line[55] == "-" else ""
        total += -cents if sign else cents
        amount = f"{sign}{cents // 100}.{cents % 100:02d}"
        payments.append([batch, date, line[9:19], line[19:43].strip(), amount, line[56:86].strip()])
    elif kind == "90":
        control = int(line[8:23]) * (-1 if line[23] == "-" else 1)
        if (int(line[2:8]), control) == (len(payments), total):
            good += payments
        else:
            rejected.append(batch)
with open("payments.csv", "w", encoding="utf-8", newline="") as handle:
    out = csv.writer(handle)
    out.writerow("batch date account name amount purpose".split())
    out.writerows(good)
json.dump(rejected, open("rejected.json", "w"))
