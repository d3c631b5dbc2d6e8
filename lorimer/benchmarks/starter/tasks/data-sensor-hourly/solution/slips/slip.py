import csv
import json

sensors = json.load(open("sensors.json"))
hours = {}
with open("readings.csv", newline="") as f:
    reader = csv.DictReader(f)
    names = reader.fieldnames[1:]
    for row in reader:
        slot = hours.setdefault(row["time"][:13].replace(" ", "T"), {n: [] for n in names})
        for n in names:
            if row[n] in ("", "-999.0", "nan"):
                continue
            value = float(row[n])
            if sensors[n]["unit"] == "F":
                value = (value - 32) * 5 / 9
            slot[n].append(value + sensors[n]["offset"])
with open("hourly.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["hour"] + names)
    for hour in sorted(hours):
        w.writerow([hour] + [f"{sum(v) / len(v):.2f}" if len(v) >= 4 else "" for v in hours[hour].values()])
