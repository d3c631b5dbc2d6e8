import json

import pandas as pd

df = pd.read_csv("readings.csv", parse_dates=["timestamp"])
sensors = json.load(open("sensors.json"))
df = df.set_index("timestamp")
for s in sensors:
    if s["unit"] == "F":
        df[s["id"]] = (df[s["id"]] - 32) * 5 / 9
    df[s["id"]] += s["offset"]
hourly = df.resample("1h").mean().round(2)
hourly.index = hourly.index.strftime("%Y-%m-%dT%H")
hourly.to_csv("hourly.csv", index_label="hour")
