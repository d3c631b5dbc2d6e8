import pandas as pd

sheets = pd.read_excel("vouchers.xlsx", sheet_name=None)
frames = []
for name, df in sheets.items():
    df.insert(0, "Month", name)
    frames.append(df)
pd.concat(frames).to_excel("all_vouchers.xlsx", sheet_name="All", index=False)
