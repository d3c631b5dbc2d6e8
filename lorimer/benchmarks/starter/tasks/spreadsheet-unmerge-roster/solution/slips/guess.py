import csv

import pandas as pd

df = pd.read_excel("roster.xlsx")
df[["Site", "Team"]] = df[["Site", "Team"]].ffill()
df = df.rename(columns={"Site": "site", "Team": "team", "Name": "employee", "Hours": "hours", "Start": "start"})
df = df.sort_values(["site", "team", "employee", "start"])
df.to_csv("roster.csv", index=False)
