import csv
import json

sensors = json.load(open("sensors.json"))
hours = {}
with open("readings.csv", newline="") as handle:
    reader = csv.DictReader(handle)
    names = reader.fieldnames[1:]
    for row in reader:
        hour = hours.setdefault(row["time"][:13].replace(" ", "T"), {name: [] for name in names})
        for name in names:
            text = row[name].strip()
            if text in ("", "nan") or float(text) == -999:
                continue
            value = float(text)
            if sensors[name]["unit"] == "F":
                value = (value - 32) * 5 / 9
            hour[name].append(value + sensors[name]["offset"])
with open("hourly.csv", "w", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["hour", *names])
    for hour, readings in sorted(hours.items()):
        out.writerow([hour] + [f"{sum(v) / len(v):.2f}" if len(v) >= 4 else "" for v in readings.values()])
