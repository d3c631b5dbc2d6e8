import csv
import json

good, rejected, current = [], [], []
with open("batches.dat", encoding="utf-8") as f:
    for line in f:
        kind = line[0]
        if kind == "H":
            batch, date, current = int(line[1:7]), line[7:15], []
        elif kind == "P":
            account, name = line[1:11], line[11:41].strip()
            current.append([batch, date, account, name, int(line[41:53]) / 100, line[53:].strip()])
        elif kind == "T":
            if int(line[1:7]) == len(current):
                good.extend(current)
            else:
                rejected.append(batch)
with open("payments.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["batch", "date", "account", "name", "amount", "purpose"])
    w.writerows(good)
json.dump(rejected, open("rejected.json", "w"))
