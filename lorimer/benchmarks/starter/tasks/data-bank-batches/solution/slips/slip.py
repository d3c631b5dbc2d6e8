import csv
import json

good, rejected = [], []
for line in open("batches.dat", encoding="latin-1"):
    if line.startswith("10"):
        batch, d = int(line[2:8]), line[8:14]
        date, payments = f"20{d[4:]}-{d[2:4]}-{d[:2]}", []
    elif line.startswith("20"):
        cents = int(line[43:55]) * (-1 if line[55] == "-" else 1)
        payments.append([batch, date, line[9:19], line[19:43].strip(), f"{cents / 100:.2f}", line[56:86].strip()])
    elif line.startswith("90"):
        total = sum(abs(round(float(p[4]) * 100)) for p in payments)
        if int(line[2:8]) != len(payments):
            rejected.append(batch)
        else:
            good.extend(payments)
with open("payments.csv", "w", newline="", encoding="utf-8") as f:
    w = csv.writer(f)
    w.writerow(["batch", "date", "account", "name", "amount", "purpose"])
    w.writerows(good)
json.dump(rejected, open("rejected.json", "w"))
